import { createToken, type IParserErrorMessageProvider, type IToken, Lexer, tokenLabel, type TokenType } from 'chevrotain';
import { jsonKinds } from './container.ts';
import type { FieldKind } from './fields.ts';
import { hbmBases, instructions, type Mnemonic, mnemonics, queues, type Token } from './instructions.ts';

/** Text that is no assembly; `line` and `column` count from 1. */
export class AssemblyError extends Error {
  readonly line: number;
  readonly column: number;
  constructor(line: number, column: number, reason: string) {
    super(`line ${line}, column ${column}: ${reason}`);
    this.name = 'AssemblyError';
    this.line = line;
    this.column = column;
  }
}

export const refuse = (at: IToken, reason: string): never => {
  throw new AssemblyError(at.startLine ?? 1, at.startColumn ?? 1, reason);
};

export const fieldsOf = (m: Mnemonic): readonly (readonly [string, FieldKind])[] => Object.entries({ ...instructions[m].flags, ...instructions[m].payload });

const token = (name: string, pattern: RegExp | string, label = `\`${name}\``): TokenType => createToken({ name: `'${name}'`, pattern, label });
const skipped = (name: string, pattern: RegExp): TokenType => createToken({ name, pattern, group: Lexer.SKIPPED });

export const number = token('number', /0x[0-9a-fA-F]+|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/, 'a number');
export const string = token('string', /"(?:[^"\\\n\r]|\\.)*"/, 'a string');
export const semaphore = token('semaphore', /s\d+(?:\*\d+)?/, 'a semaphore such as `s3` or `s3*2`');
export const strideSet = token('strideSet', /ss\d+/, 'a stride set such as `ss1`');
export const register = token('register', /R\d+/, 'a register such as `R1`');
export const predicate = token('predicate', /P\d+/, 'a predicate such as `P1`');
/** What places in the code may be called: any name, the language's own words among them. */
export const word = createToken({ name: "'word'", pattern: Lexer.NA, label: 'a name' });
export const name = createToken({ name: "'name'", pattern: /[A-Za-z_]\w*/, label: 'a name', categories: [word] });
const directive = token('directive', /\.[A-Za-z]\w*/, 'a directive');
export const marks = Object.fromEntries([...'=@+:,()[]{}'].map((mark) => [mark, token(mark, mark)])) as Readonly<Record<string, TokenType>>;

/** The lexer takes the first that matches, so `wait2` has to stand before `wait`. */
const longestFirst = (list: Iterable<string>): readonly string[] => [...list].toSorted((a, b) => b.length - a.length);

const reserved = new Set<string>([
  'if', 'wait', 'post', 'ring', 'true', 'false', 'null', ...mnemonics, ...queues, ...hbmBases,
  ...mnemonics.flatMap((m) => fieldsOf(m).flatMap(([field, kind]) => (kind.kind === 'enum' ? [field, ...kind.names] : [field]))),
]);
export const keywords = new Map(longestFirst(reserved).map((text) => [text, createToken({ name: `'${text}'`, pattern: text, label: `\`${text}\``, longer_alt: name, categories: [word] })]));
export const directives = new Map(
  longestFirst(['sasm', 'chips', 'entry', 'chip', 'queue', 'ss', ...jsonKinds]).map((word) => [word, createToken({ name: `.${word}`, pattern: `.${word}`, label: `\`.${word}\``, longer_alt: directive })]),
);
export const vocabulary = [
  skipped('space', /[ \t\r\n]+/), skipped('comment', /;[^\n\r]*/), string, number, semaphore, strideSet, register, predicate,
  word, ...keywords.values(), ...directives.values(), name, directive, ...Object.values(marks),
];

const found = (at: IToken): string => (at.image === '' ? 'the end of the text' : `\`${at.image.length > 40 ? `${at.image.slice(0, 37)}...` : at.image}\``);
export const messages: IParserErrorMessageProvider = {
  buildMismatchTokenMessage: ({ expected, actual }) => `expected ${tokenLabel(expected)}, found ${found(actual)}`,
  buildNotAllInputParsedMessage: ({ firstRedundant }) => `expected an instruction or a directive, found ${found(firstRedundant)}`,
  buildNoViableAltMessage: ({ expectedPathsPerAlt, actual }) => `expected ${expectedPathsPerAlt.flat().map((path) => tokenLabel(path[0]!)).join(' or ')}, found ${found(actual[0]!)}`,
  buildEarlyExitMessage: ({ expectedIterationPaths, actual }) => `expected ${expectedIterationPaths.map((path) => tokenLabel(path[0]!)).join(' or ')}, found ${found(actual[0]!)}`,
};

/** The integer of a token, which must be within [least, most]. */
export const integerOf = (at: IToken, least: number, most: number): number => {
  const value = Number(/^[A-Za-z]+(\d+)$/.exec(at.image)?.[1] ?? at.image);
  return Number.isInteger(value) && value >= least && value <= most ? value : refuse(at, `${at.image} is not an integer from ${least} to ${most}`);
};

export const bits = (n: number): number => 2 ** n - 1;

export const semaphoreOf = (at: IToken): Token => {
  const [id, count] = at.image.slice(1).split('*').map(Number);
  const value = { semaphore: id!, count: count ?? 1 };
  return id! >= 1 && id! <= 255 && value.count >= 1 && value.count <= 15 ? value : refuse(at, `${at.image} is not one of s1 to s255, 1 to 15 times`);
};

export const f32Of = (at: IToken): number => {
  const value = Math.fround(Number(at.image));
  return Number.isFinite(value) ? value : refuse(at, `${at.image} is beyond FP32`);
};
