import { createToken, EmbeddedActionsParser, type IToken, Lexer, type TokenType } from 'chevrotain';
import type { Origin } from '../../diagnostics/diagnostic.ts';
import type { Affine, RowPart } from './module.ts';
import { keywords, plainName } from './print.ts';

const Space = createToken({ name: 'Space', pattern: /\s+/, group: Lexer.SKIPPED, line_breaks: true });
const Comment = createToken({ name: 'Comment', pattern: /;[^\n]*/, group: Lexer.SKIPPED });
const Text = createToken({ name: 'Text', pattern: /"(?:[^"\\\n]|\\.)*"/ });
const Plus = createToken({ name: 'Plus', pattern: /\+(?!:)/ });
const PlusColon = createToken({ name: 'PlusColon', pattern: /\+:/ });
const NumberToken = createToken({ name: 'Number', pattern: /-?\d+(?:\.\d+)?(?:e[+-]?\d+)?/ });
const Word = createToken({ name: 'Word', pattern: plainName });
const keyword = Object.fromEntries(keywords.map((word) => [word, createToken({ name: `'${word}'`, pattern: word, longer_alt: Word })])) as Record<(typeof keywords)[number], TokenType>;
const sign = Object.fromEntries([...'{}[](),=@#*/'].map((mark) => [mark, createToken({ name: `'${mark}'`, pattern: mark })])) as Record<string, TokenType>;
const tokens = [Space, Comment, Text, PlusColon, Plus, NumberToken, ...Object.values(keyword), Word, ...Object.values(sign)];
const lexer = new Lexer(tokens, { positionTracking: 'full' });

/** A place in the text, lines and columns from 1. */
export type At = { readonly line: number; readonly column: number };
/** A name as it was written, not yet looked up. */
export type Named = { readonly name: string; readonly at: At; readonly quoted: boolean };
export type Reference = Named & { readonly number: number | undefined };
export type RawRegion = { readonly buffer: Reference; readonly slot: Affine; readonly row: Affine; readonly rows: number; readonly column: Affine; readonly columns: number };
type RawValue = { readonly kind: 'flag' } | { readonly kind: 'number'; readonly value: number } | { readonly kind: 'word' | 'text'; readonly value: string } | { readonly kind: 'region'; readonly value: RawRegion };
export type Item = Named & { readonly value: RawValue };
export type RawBuffer = { readonly id: Reference; readonly words: readonly Named[]; readonly rows: number; readonly columns: number; readonly depth: number; readonly packing: (Named & { readonly items: readonly Item[] }) | undefined };
export type RawNode =
  | { readonly kind: 'loop'; readonly level: number; readonly name: string; readonly count: number; readonly body: readonly RawNode[] }
  | { readonly kind: 'op'; readonly op: Named; readonly items: readonly Item[]; readonly max: number; readonly of: Named | undefined; readonly part: RowPart | undefined; readonly shared: number | undefined; readonly label: string };
type RawEnd = { readonly name: string; readonly buffer: Reference; readonly rows: Named };
export type RawModule = {
  readonly name: string; readonly tile: number; readonly chips: number;
  readonly bounds: readonly (Named & { readonly value: number })[];
  readonly buffers: readonly RawBuffer[];
  readonly inputs: readonly RawEnd[];
  readonly outputs: readonly RawEnd[];
  readonly body: readonly RawNode[];
  readonly origins: ReadonlyMap<string, Origin>;
};

class TileParser extends EmbeddedActionsParser {
  #label = '';

  constructor() {
    super(tokens);
    this.performSelfAnalysis();
  }

  readonly module = this.RULE('module', (): RawModule => {
    this.#label = '';
    this.CONSUME(keyword.tile);
    const name = this.SUBRULE(this.text);
    this.CONSUME(keyword.side);
    const tile = this.SUBRULE1(this.number);
    this.CONSUME(keyword.chips);
    const chips = this.SUBRULE2(this.number);
    const bounds: (Named & { value: number })[] = [];
    this.CONSUME(keyword.bounds);
    this.MANY1(() => {
      const bound = this.SUBRULE1(this.word);
      bounds.push({ ...bound, value: this.SUBRULE3(this.number) });
    });
    const buffers: RawBuffer[] = [];
    this.MANY2(() => buffers.push(this.SUBRULE(this.buffer)));
    const inputs: RawEnd[] = [];
    this.MANY3(() => {
      this.CONSUME(keyword.takes);
      inputs.push(this.SUBRULE1(this.end));
    });
    const outputs: RawEnd[] = [];
    this.MANY4(() => {
      this.CONSUME(keyword.output);
      outputs.push(this.SUBRULE2(this.end));
    });
    const body = this.SUBRULE(this.nodes);
    const origins = new Map<string, Origin>();
    this.MANY5(() => {
      this.CONSUME(keyword.origins);
      this.CONSUME(sign['@']!);
      const label = this.SUBRULE(this.name);
      this.CONSUME(sign['=']!);
      origins.set(label.name, this.SUBRULE(this.origin));
    });
    return { name, tile, chips, bounds, buffers, inputs, outputs, body, origins };
  });

  readonly end = this.RULE('end', (): RawEnd => {
    const { name } = this.SUBRULE(this.name);
    this.CONSUME(sign['=']!);
    const buffer = this.SUBRULE(this.reference);
    this.CONSUME(keyword.by);
    return { name, buffer, rows: this.SUBRULE(this.word) };
  });

  readonly buffer = this.RULE('buffer', (): RawBuffer => {
    this.CONSUME(keyword.buffer);
    const id = this.SUBRULE(this.reference);
    const words = [this.SUBRULE1(this.term), this.SUBRULE2(this.term), this.SUBRULE3(this.term)];
    this.CONSUME(sign['[']!);
    const rows = this.SUBRULE1(this.number);
    this.CONSUME(sign[',']!);
    const columns = this.SUBRULE2(this.number);
    this.CONSUME(sign[']']!);
    let depth = 1;
    this.OPTION1(() => {
      this.CONSUME(keyword.depth);
      depth = this.SUBRULE3(this.number);
    });
    let packing: RawBuffer['packing'];
    this.OPTION2(() => {
      this.CONSUME(keyword.packing);
      const kind = this.SUBRULE4(this.term);
      this.CONSUME(sign['(']!);
      packing = { ...kind, items: this.SUBRULE(this.items) };
      this.CONSUME(sign[')']!);
    });
    return { id, words, rows, columns, depth, packing };
  });

  readonly nodes = this.RULE('nodes', (): readonly RawNode[] => {
    const nodes: RawNode[] = [];
    this.MANY(() =>
      this.OR([
        { ALT: () => nodes.push(this.SUBRULE(this.loop)) },
        { ALT: () => {
          this.CONSUME(sign['@']!);
          const { name } = this.SUBRULE(this.name);
          this.ACTION(() => { this.#label = name; });
        } },
        { ALT: () => nodes.push(this.SUBRULE(this.op)) },
      ]),
    );
    return nodes;
  });

  readonly loop = this.RULE('loop', (): RawNode => {
    this.CONSUME(keyword.loop);
    const level = this.SUBRULE(this.index);
    const name = this.SUBRULE(this.text);
    const count = this.SUBRULE(this.number);
    this.CONSUME(sign['{']!);
    const body = this.SUBRULE(this.nodes);
    this.CONSUME(sign['}']!);
    return { kind: 'loop', level, name, count, body };
  });

  readonly op = this.RULE('op', (): RawNode => {
    const op = this.SUBRULE1(this.word);
    const items = this.SUBRULE(this.items);
    this.CONSUME(keyword.rows);
    const max = this.SUBRULE(this.number);
    let of: Named | undefined;
    let part: RowPart | undefined;
    let shared: number | undefined;
    this.OPTION(() => {
      this.CONSUME(keyword.of);
      of = this.SUBRULE2(this.word);
      this.OPTION1(() => {
        this.CONSUME(sign['[']!);
        const first = this.SUBRULE1(this.number);
        this.CONSUME(PlusColon);
        part = { first, rows: this.SUBRULE2(this.number) };
        this.CONSUME(sign[']']!);
      });
      this.OPTION2(() => {
        this.CONSUME(sign['/']!);
        shared = this.SUBRULE3(this.number);
      });
    });
    return { kind: 'op', op, items, max, of, part, shared, label: this.#label };
  });

  readonly items = this.RULE('items', (): readonly Item[] => {
    const items: Item[] = [];
    this.MANY(() => {
      const name = this.SUBRULE(this.word);
      let value: RawValue = { kind: 'flag' };
      this.OPTION(() => {
        this.CONSUME(sign['=']!);
        value = this.SUBRULE(this.value);
      });
      items.push({ ...name, value });
    });
    return items;
  });

  readonly value = this.RULE('value', (): RawValue =>
    this.OR<RawValue>([
      { ALT: () => ({ kind: 'number', value: this.SUBRULE(this.number) }) },
      { ALT: () => {
        const buffer = this.SUBRULE(this.reference);
        let value: RawValue = { kind: buffer.quoted ? 'text' : 'word', value: buffer.name };
        this.OPTION(() => { value = { kind: 'region', value: { buffer, ...this.SUBRULE(this.region) } }; });
        return value;
      } },
    ]),
  );

  readonly region = this.RULE('region', (): Omit<RawRegion, 'buffer'> => {
    let slot: Affine = { base: 0, steps: [0, 0, 0, 0] };
    this.OPTION(() => {
      this.CONSUME(sign['{']!);
      slot = this.SUBRULE1(this.affine);
      this.CONSUME(sign['}']!);
    });
    this.CONSUME(sign['[']!);
    const row = this.SUBRULE2(this.affine);
    this.CONSUME1(PlusColon);
    const rows = this.SUBRULE1(this.number);
    this.CONSUME(sign[',']!);
    const column = this.SUBRULE3(this.affine);
    this.CONSUME2(PlusColon);
    const columns = this.SUBRULE2(this.number);
    this.CONSUME(sign[']']!);
    return { slot, row, rows, column, columns };
  });

  readonly affine = this.RULE('affine', (): Affine => {
    let base = 0;
    const steps: [number, number, number, number] = [0, 0, 0, 0];
    this.AT_LEAST_ONE_SEP({ SEP: Plus, DEF: () => {
      this.OR([
        { ALT: () => {
          const level = this.SUBRULE1(this.index);
          this.ACTION(() => { steps[level]! += 1; });
        } },
        { ALT: () => {
          const by = this.SUBRULE(this.number);
          let level: number | undefined;
          this.OPTION(() => {
            this.CONSUME(sign['*']!);
            level = this.SUBRULE2(this.index);
          });
          this.ACTION(() => {
            if (level === undefined) base += by;
            else steps[level]! += by;
          });
        } },
      ]);
    } });
    return { base, steps };
  });

  readonly origin: (index?: number) => Origin = this.RULE('origin', (): Origin => {
    const { name } = this.SUBRULE(this.word);
    const texts: string[] = [];
    const numbers: number[] = [];
    const from: Origin[] = [];
    this.MANY1(() => this.OR([{ ALT: () => texts.push(this.SUBRULE(this.text)) }, { ALT: () => numbers.push(this.SUBRULE(this.number)) }]));
    this.OPTION(() => {
      this.CONSUME(sign['(']!);
      this.MANY_SEP({ SEP: sign[',']!, DEF: () => from.push(this.SUBRULE(this.origin)) });
      this.CONSUME(sign[')']!);
    });
    return this.ACTION(() => originOf(name, texts, numbers, from));
  });

  readonly index = this.RULE('index', (): number =>
    this.OR([0, 1, 2, 3].map((level) => ({ ALT: () => { this.CONSUME(keyword[`i${level}` as 'i0']); return level; } }))),
  );
  readonly text = this.RULE('text', (): string => textOf(this.CONSUME(Text)));
  readonly number = this.RULE('number', (): number => Number(this.CONSUME(NumberToken).image));
  readonly word = this.RULE('word', (): Named => {
    const token = this.CONSUME(Word);
    return { name: token.image, at: placeOf(token), quoted: false };
  });
  /** A word of the IR where it cannot be mistaken for the grammar's: `output` and `rows` are both. */
  readonly term = this.RULE('term', (): Named => {
    const token = this.OR([Word, keyword.output, keyword.rows].map((type) => ({ ALT: () => this.CONSUME(type) })));
    return { name: token.image, at: placeOf(token), quoted: false };
  });
  readonly name = this.RULE('name', (): Named =>
    this.OR<Named>([
      { ALT: () => this.SUBRULE(this.word) },
      { ALT: () => {
        const token = this.CONSUME(Text);
        return { name: textOf(token), at: placeOf(token), quoted: true };
      } },
    ]),
  );
  readonly reference = this.RULE('reference', (): Reference => {
    const name = this.SUBRULE(this.name);
    let number: number | undefined;
    this.OPTION(() => {
      this.CONSUME(sign['#']!);
      number = this.SUBRULE(this.number);
    });
    return { ...name, number };
  });
}

/** A quoted token's text; while the grammar records itself, tokens are made up and have none. */
const textOf = (token: IToken): string => (token.image.startsWith('"') ? (JSON.parse(token.image) as string) : '');

function originOf(name: string, texts: readonly string[], numbers: readonly number[], from: readonly Origin[]): Origin {
  const [first, second] = texts as [string, string];
  const [line, column] = numbers as [number, number];
  switch (name) {
    case 'onnx': return { kind: 'onnx', node: first, op: second };
    case 'config': return { kind: 'config', path: first };
    case 'tensor': return { kind: 'tensor', name: first };
    case 'file': return line === undefined ? { kind: 'file', path: first } : { kind: 'file', path: first, offset: line };
    case 'text': return { kind: 'text', file: first, line, column };
    case 'derived': return { kind: 'derived', by: first, from };
    default: return { kind: 'none' };
  }
}

const placeOf = (token: IToken): At => ({ line: token.startLine || 1, column: token.startColumn || 1 });

const parser = new TileParser();

/** A text's module as written, or what keeps it from being one. */
export function readTile(text: string): { readonly module: RawModule } | { readonly errors: readonly { readonly message: string; readonly at: At }[] } {
  const lexed = lexer.tokenize(text);
  if (lexed.errors.length > 0) return { errors: lexed.errors.map(({ message, line, column }) => ({ message, at: { line: line ?? 1, column: column ?? 1 } })) };
  parser.input = lexed.tokens;
  const module = parser.module();
  const last = lexed.tokens.at(-1);
  const end: At = last === undefined ? { line: 1, column: 1 } : { line: last.endLine ?? 1, column: (last.endColumn ?? 0) + 1 };
  if (parser.errors.length > 0) return { errors: parser.errors.map(({ message, token }) => ({ message, at: Number.isNaN(token.startLine) ? end : placeOf(token) })) };
  return { module };
}
