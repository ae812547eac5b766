import { EmbeddedActionsParser, type IToken, Lexer, type ParserMethod } from 'chevrotain';
import {
  AssemblyError, bits, directives, f32Of, fieldsOf, integerOf, keywords, marks, messages, name, number, predicate, refuse, register, semaphore, semaphoreOf, strideSet, string, vocabulary, word,
} from './assembly-words.ts';
import { checkSection, type JsonKind, jsonKinds } from './container.ts';
import { assemblyVersion } from './disassembly.ts';
import { encodeAll, isZero, still } from './encoding.ts';
import { type FieldKind, fieldParts, pc as pcKind, strideSetMax, strideSetsMax } from './fields.ts';
import { hbmBases, type Instruction, instructions, mnemonics, type Queue, queues, type StrideSet, type Token } from './instructions.ts';
import type { Json } from './json.ts';
import type { ChipCode, Program, QueueCode } from './program.ts';

/** A place in the code by the name that stands before it, which may come later. */
class Name {
  readonly at: IToken;
  constructor(at: IToken) {
    this.at = at;
  }
}

/** An instruction with the numbers of the places it names. */
const linked = (instruction: Instruction, places: ReadonlyMap<string, number>): Instruction => {
  const pcOf = ({ at }: Name): number => places.get(at.image) ?? refuse(at, `no instruction of the queue stands under \`${at.image}:\``);
  const fields = Object.entries(instruction.fields).map(([field, value]: [string, unknown]) => [field, value instanceof Name ? pcOf(value) : value]);
  return { ...instruction, fields: Object.fromEntries(fields) as never };
};

const deepest = 64;
const emptyQueue: QueueCode = { words: new Uint8Array(0), strideSets: [] };
type Value = Instruction['fields'][keyof Instruction['fields']] | object | number | string | boolean;

/** Its grammar is generated from the instruction records: one rule an instruction, operands in declared order. */
class AssemblyParser extends EmbeddedActionsParser {
  readonly program: ParserMethod<[], Program>;
  #depth = 0;

  constructor() {
    super(vocabulary, { maxLookahead: 2, errorMessageProvider: messages });
    const json = this.#json();
    const code = this.#queueCode(this.#strideSet(), this.#instruction());
    this.program = this.#program(json, code);
    this.performSelfAnalysis();
  }

  #keyword(idx: number, word: string): IToken {
    return this.consume(idx, keywords.get(word)!);
  }

  #directive(idx: number, word: string): IToken {
    return this.consume(idx, directives.get(word)!);
  }

  #json(): ParserMethod<[], Json> {
    const list = this.RULE('list', (): Json => {
      const items: Json[] = [];
      this.consume(0, marks['[']!);
      this.MANY_SEP({ SEP: marks[',']!, DEF: () => items.push(this.subrule(0, value)) });
      this.consume(0, marks[']']!);
      return items;
    });
    const object = this.RULE('object', (): Json => {
      const members: (readonly [string, Json])[] = [];
      this.consume(0, marks['{']!);
      this.MANY_SEP({
        SEP: marks[',']!,
        DEF: () => {
          const key = this.consume(0, string);
          this.consume(0, marks[':']!);
          const member = this.subrule(0, value);
          this.ACTION(() => members.push([stringOf(key), member]));
        },
      });
      this.consume(0, marks['}']!);
      return Object.fromEntries(members);
    });
    const stringOf = (at: IToken): string => {
      try {
        return JSON.parse(at.image) as string;
      } catch {
        return refuse(at, 'this is no JSON string');
      }
    };
    const value: ParserMethod<[], Json> = this.RULE('value', (): Json => {
      this.ACTION(() => {
        this.#depth++;
        if (this.#depth > deepest) refuse(this.LA(1), `nested more than ${deepest} levels deep`);
      });
      const read = this.or(0, [
        { ALT: () => this.subrule(0, list) },
        { ALT: () => this.subrule(0, object) },
        { ALT: () => { const at = this.consume(0, string); return this.ACTION(() => stringOf(at)); } },
        { ALT: () => { const at = this.consume(0, number); return this.ACTION(() => Number(at.image)); } },
        { ALT: () => { this.#keyword(0, 'true'); return true; } },
        { ALT: () => { this.#keyword(0, 'false'); return false; } },
        { ALT: () => { this.#keyword(0, 'null'); return null; } },
      ]) as Json;
      this.ACTION(() => this.#depth--);
      return read;
    });
    return value;
  }

  /** `[s0, s1, s2, s3] ring(stride, depth, base) [t0, t1, t2, t3]`, the ring if there is one. */
  #strideSet(): ParserMethod<[], StrideSet> {
    const four = this.RULE('four', (): readonly IToken[] => {
      this.consume(0, marks['[']!);
      const numbers = [0, 1, 2, 3].map((i) => {
        if (i > 0) this.consume(i, marks[',']!);
        return this.consume(i, number);
      });
      this.consume(0, marks[']']!);
      return numbers;
    });
    return this.RULE('strideSet', (): StrideSet => {
      const strides = this.subrule(0, four);
      const ring = this.option(0, () => {
        this.#keyword(0, 'ring');
        this.consume(0, marks['(']!);
        const stride = this.consume(0, number);
        this.consume(0, marks[',']!);
        const depth = this.consume(1, number);
        this.consume(1, marks[',']!);
        const base = this.consume(2, number);
        this.consume(0, marks[')']!);
        const steps = this.subrule(1, four);
        return this.ACTION(() => ({
          stride: integerOf(stride, 0, bits(32)), depth: integerOf(depth, 0, bits(16)), base: integerOf(base, 0, bits(16)),
          steps: steps.map((step) => integerOf(step, 0, bits(16))) as unknown as StrideSet['strides'],
        }));
      });
      return this.ACTION(() => ({ strides: strides.map((at) => integerOf(at, -(2 ** 31), bits(31))) as unknown as StrideSet['strides'], ring: ring ?? still.ring }));
    });
  }

  /** One rule for each kind of field; kinds with names of their own have one for each set of names. */
  #operands(): (field: FieldKind) => ParserMethod<[FieldKind], Value> {
    const optionalMove = this.RULE('move', (): number => {
      const ss = this.option(0, () => {
        this.consume(0, marks['+']!);
        return this.consume(0, strideSet);
      });
      return this.ACTION(() => (ss === undefined ? 0 : integerOf(ss, 0, strideSetMax)));
    });
    const oneOf = (idx: number, names: readonly string[]): string => this.or(idx, names.map((word, i) => ({ ALT: () => this.#keyword(i, word).image })));
    const address = (): number => {
      this.consume(0, marks['@']!);
      const at = this.consume(0, number);
      return this.ACTION(() => integerOf(at, 0, bits(32)));
    };
    const line = this.RULE('line', address);
    const within = (at: IToken, most: number): ((value: number) => number) => (value) => (value <= most ? value : refuse(at, `${value} is not a line from 0 to ${most}`));
    const kinds = {
      uint: this.RULE('uint', (field: FieldKind): Value => {
        const at = this.consume(0, number);
        return this.ACTION(() => (field.kind === 'uint' ? integerOf(at, field.minusOne ? 1 : 0, bits(field.bits) + (field.minusOne ? 1 : 0)) : 0));
      }),
      f32: this.RULE('f32', (): Value => {
        const at = this.consume(0, number);
        return this.ACTION(() => f32Of(at));
      }),
      sram: this.RULE('sram', (): Value => {
        const first = this.LA(2);
        const addr = this.subrule(0, line);
        const ss = this.subrule(0, optionalMove);
        return this.ACTION(() => ({ addr: within(first, bits(24))(addr), ss }));
      }),
      hbm: this.RULE('hbm', (): Value => {
        const base = oneOf(0, hbmBases);
        const off = this.subrule(0, line);
        const ss = this.subrule(0, optionalMove);
        return this.ACTION(() => ({ base: (hbmBases as readonly string[]).indexOf(base), off, ss }));
      }),
      acc: this.RULE('acc', (): Value => {
        const at = this.consume(0, number);
        const ss = this.subrule(0, optionalMove);
        return this.ACTION(() => ({ addr: integerOf(at, 0, bits(10)), ss }));
      }),
      rows: this.RULE('rows', (): Value => {
        const max = this.consume(0, number);
        const shortened = this.option(0, () => {
          this.consume(0, marks[':']!);
          const reg = this.consume(0, register);
          this.consume(0, marks['@']!);
          const level = this.consume(1, number);
          return this.ACTION(() => ({ reg: integerOf(reg, 0, 31), level: integerOf(level, 0, 3) }));
        });
        return this.ACTION(() => ({ max: integerOf(max, 0, bits(13)), ...(shortened ?? { reg: 0, level: 0 }) }));
      }),
      pc: this.RULE('pc', (): Value =>
        this.or(0, [
          { ALT: () => { const at = this.consume(0, word); return this.ACTION(() => new Name(at)); } },
          { ALT: () => { const at = this.consume(0, number); return this.ACTION(() => integerOf(at, 0, bits(fieldParts(pcKind)[0]!.bits))); } },
        ])),
    };
    const choices = new Map<string, ParserMethod<[FieldKind], Value>>();
    return (field) => {
      if (field.kind === 'flag') throw new Error('internal: a flag has no value');
      if (field.kind !== 'enum') return kinds[field.kind];
      const key = field.names.join('|');
      const rule = choices.get(key) ?? this.RULE(`enum${choices.size}`, (): Value => oneOf(0, field.names));
      choices.set(key, rule);
      return rule;
    };
  }

  #instruction(): ParserMethod<[], Instruction> {
    const operandOf = this.#operands();
    const tokens = this.RULE('tokens', (): readonly Token[] => {
      const list: Token[] = [];
      this.consume(0, marks['(']!);
      this.AT_LEAST_ONE_SEP({
        SEP: marks[',']!,
        DEF: () => {
          const at = this.consume(0, semaphore);
          this.ACTION(() => (list.length < 2 ? list.push(semaphoreOf(at)) : refuse(at, 'a word has room for two; `sync` takes more')));
        },
      });
      this.consume(0, marks[')']!);
      return list;
    });
    const tokensOf = (idx: number, word: 'wait' | 'post'): readonly Token[] =>
      this.option(idx, () => {
        this.#keyword(0, word);
        return this.subrule(idx, tokens);
      }) ?? [];
    const rules = mnemonics.map((m) => {
      const operands = fieldsOf(m).map(([field, kind]) => ({ field, kind, rule: kind.kind === 'flag' ? undefined : operandOf(kind) }));
      return this.RULE(`instruction ${m}`, (): Instruction => {
        this.#keyword(200, m);
        const fields: Record<string, Value> = {};
        operands.forEach(({ field, kind, rule }, i) => {
          if (rule === undefined) {
            const is = this.option(i, () => this.#keyword(i, field)) !== undefined;
            if (is || kind.added !== true) fields[field] = is;
          }
          else if (kind.added === true) {
            const value = this.option(i, () => this.#operand(i, field, rule, kind));
            this.ACTION(() => { if (value !== undefined && !isZero(kind, value)) fields[field] = value; });
          } else if (kind.kind === 'uint' && kind.optional) fields[field] = this.option(i, () => this.#operand(i, field, rule, kind)) ?? 0;
          else fields[field] = this.#operand(i, field, rule, kind);
        });
        const under = this.option(202, () => {
          this.#keyword(202, 'if');
          const at = this.consume(0, predicate);
          return this.ACTION(() => integerOf(at, 1, 7));
        });
        const waits = tokensOf(200, 'wait');
        const posts = tokensOf(201, 'post');
        return { op: m, ...(under === undefined ? {} : { predicate: under }), waits, posts, fields } as Instruction;
      });
    });
    return this.RULE('instruction', (): Instruction => this.or(0, rules.map((rule, i) => ({ ALT: () => this.subrule(i, rule) }))));
  }

  #operand(i: number, field: string, rule: ParserMethod<[FieldKind], Value>, kind: FieldKind): Value {
    this.#keyword(i, field);
    this.consume(i, marks['=']!);
    return this.subrule(i, rule, { ARGS: [kind] });
  }

  #queueCode(set: ParserMethod<[], StrideSet>, instruction: ParserMethod<[], Instruction>): ParserMethod<[], { readonly at: IToken; readonly queue: Queue; readonly code: QueueCode }> {
    return this.RULE('queueCode', () => {
      const sets: StrideSet[] = [];
      const code: Instruction[] = [];
      const places = new Map<string, number>();
      this.#directive(0, 'queue');
      const at = this.or(0, queues.map((queue, i) => ({ ALT: () => this.#keyword(i, queue) })));
      const queue = at.image as Queue;
      this.MANY(() => {
        this.#directive(0, 'ss');
        const index = this.consume(0, number);
        this.ACTION(() => integerOf(index, sets.length + 1, Math.min(strideSetsMax, sets.length + 1)));
        sets.push(this.subrule(0, set));
      });
      this.MANY1({
        GATE: () => this.LA(1).tokenType !== name || this.LA(2).tokenType === marks[':'],
        DEF: () => this.or(1, [
          { ALT: () => {
            const place = this.consume(1, word);
            this.consume(1, marks[':']!);
            this.ACTION(() => (places.has(place.image) ? refuse(place, `another instruction of the queue stands under \`${place.image}:\``) : places.set(place.image, code.length)));
          } },
          { ALT: () => {
            const first = this.LA(1);
            const read = this.subrule(1, instruction);
            this.ACTION(() => ((instructions[read.op].queues as readonly Queue[]).includes(queue) ? code.push(read) : refuse(first, `${read.op} cannot be in queue ${queue}`)));
          } },
        ]),
      });
      return this.ACTION(() => ({ at, queue, code: { words: encodeAll(code.map((one) => linked(one, places)), queue), strideSets: sets.length === 0 ? [] : [still, ...sets] } }));
    });
  }

  #chip(queueCode: ParserMethod<[], { readonly at: IToken; readonly queue: Queue; readonly code: QueueCode }>): ParserMethod<[(readonly ChipCode[])?], ChipCode> {
    return this.RULE('chip', (before: readonly ChipCode[] = []): ChipCode => {
      this.#directive(0, 'chip');
      const rank = this.consume(0, number);
      this.ACTION(() => integerOf(rank, before.length, before.length));
      const same = this.option(0, () => {
        this.consume(0, marks['=']!);
        const at = this.consume(1, number);
        return this.ACTION(() => (before.length === 0 ? refuse(at, 'no chip stands before this one') : before[integerOf(at, 0, before.length - 1)]));
      });
      const own = Object.fromEntries(queues.map((queue) => [queue, emptyQueue])) as Record<Queue, QueueCode>;
      const seen = new Set<Queue>();
      this.MANY(() => {
        const { at, queue, code } = this.subrule(0, queueCode);
        this.ACTION(() => {
          if (same !== undefined || seen.has(queue)) refuse(at, `queue ${queue} of chip ${rank.image} is there already`);
          seen.add(queue);
          own[queue] = code;
        });
      });
      return same ?? own;
    });
  }

  #program(json: ParserMethod<[], Json>, queueCode: ParserMethod<[], { readonly at: IToken; readonly queue: Queue; readonly code: QueueCode }>): ParserMethod<[], Program> {
    const chip = this.#chip(queueCode);
    return this.RULE('program', (): Program => {
      this.#directive(0, 'sasm');
      const version = this.consume(0, number);
      this.ACTION(() => integerOf(version, assemblyVersion, assemblyVersion));
      this.#directive(0, 'chips');
      const count = this.consume(1, number);
      const sections = jsonKinds.map((kind, i) => {
        const at = this.#directive(i, kind);
        const value = this.subrule(i, json);
        return [kind, this.ACTION(() => checked(kind, value, at))] as const;
      });
      const code: (readonly ChipCode[])[] = [];
      this.MANY(() => {
        const at = this.#directive(0, 'entry');
        const index = this.consume(2, number);
        this.ACTION(() => integerOf(index, code.length, code.length));
        const chips: ChipCode[] = [];
        this.MANY1(() => { const read = this.subrule(20, chip, { ARGS: [chips] }); chips.push(read); });
        this.ACTION(() => (chips.length === integerOf(count, 0, bits(16)) ? code.push(chips) : refuse(at, `this entry has code of ${chips.length} chips, not ${count.image}`)));
      });
      return this.ACTION(() => {
        const parts = Object.fromEntries(sections) as Pick<Program, JsonKind>;
        if (parts.entries.length !== code.length) refuse(version, `there is code of ${code.length} entries, \`.entries\` names ${parts.entries.length}`);
        return { ...parts, chips: integerOf(count, 0, bits(16)), code };
      });
    });
  }

  /** Forgets what an earlier text left behind. */
  read(tokens: IToken[]): Program {
    this.#depth = 0;
    this.input = tokens;
    return this.program();
  }
}

const checked = <K extends JsonKind>(kind: K, value: Json, at: IToken): Program[K] => {
  const problems: string[] = [];
  const read = checkSection(kind, value, problems);
  return problems.length === 0 ? read : refuse(at, problems.join('; '));
};

let machinery: { readonly lexer: Lexer; readonly parser: AssemblyParser } | undefined;

/** The program of an assembly text. `assemble(disassemble(p))` is p. Throws AssemblyError. */
export const assemble = (text: string): Program => {
  machinery ??= { lexer: new Lexer(vocabulary), parser: new AssemblyParser() };
  const { tokens, errors } = machinery.lexer.tokenize(text);
  const unknown = errors[0];
  if (unknown !== undefined) throw new AssemblyError(unknown.line ?? 1, unknown.column ?? 1, `\`${text.slice(unknown.offset, unknown.offset + 1)}\` starts nothing known`);
  const program = machinery.parser.read(tokens);
  const failure = machinery.parser.errors[0];
  if (failure === undefined) return program;
  const lines = text.split('\n');
  const isEnd = failure.token.image === '';
  throw new AssemblyError(isEnd ? lines.length : failure.token.startLine!, isEnd ? lines.at(-1)!.length + 1 : failure.token.startColumn!, failure.message);
};
