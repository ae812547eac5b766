import { createToken, EmbeddedActionsParser, type IToken, Lexer } from 'chevrotain';

/** A place in the text, counted from 1. */
export type At = { readonly line: number; readonly column: number };

/** What the text says, not yet checked: names are names, shapes are texts. */
export type TypeSyntax = { readonly dtype: string; readonly shape: readonly string[]; readonly at: At };
export type TypedSyntax = { readonly value: number; readonly type: TypeSyntax; readonly at: At };
export type ExprSyntax =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'number'; readonly value: number }
  | { readonly kind: 'call'; readonly name: string; readonly numbers: readonly number[]; readonly args: readonly ExprSyntax[]; readonly at: At };
export type ValueSyntax =
  | { readonly kind: 'number'; readonly value: number }
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'name'; readonly name: string }
  | { readonly kind: 'list'; readonly items: readonly ValueSyntax[] }
  | { readonly kind: 'record'; readonly entries: readonly { readonly key: string; readonly value: ValueSyntax }[] };
export type AttributeSyntax = { readonly name: string; readonly value: ValueSyntax | undefined; readonly at: At };
export type OriginSyntax = { readonly name: string; readonly derived: boolean; readonly args: readonly (string | number)[]; readonly from: readonly OriginSyntax[]; readonly at: At };
export type BlockSyntax = { readonly params: readonly TypedSyntax[]; readonly ops: readonly OpSyntax[]; readonly yields: readonly number[] };
export type OpSyntax = {
  readonly results: readonly TypedSyntax[];
  readonly kind: string;
  readonly operands: readonly number[];
  readonly attributes: readonly AttributeSyntax[];
  readonly body: BlockSyntax | undefined;
  readonly origin: OriginSyntax | undefined;
  readonly at: At;
};
/** A line of the head: `input "ids": ids`. */
export type EntrySyntax =
  | { readonly kind: 'custom'; readonly name: string; readonly at: At }
  | { readonly kind: 'input' | 'output'; readonly name: string; readonly word: string; readonly at: At }
  | { readonly kind: 'cache'; readonly name: string; readonly fields: readonly AttributeSyntax[]; readonly at: At }
  | { readonly kind: 'weight'; readonly name: string; readonly type: TypeSyntax; readonly exprs: readonly ExprSyntax[]; readonly range: readonly [number, number] | undefined; readonly at: At }
  | { readonly kind: 'value'; readonly value: TypedSyntax; readonly at: At };
export type ModuleSyntax = { readonly name: string; readonly family: string; readonly entries: readonly EntrySyntax[]; readonly body: BlockSyntax };

const Name = createToken({ name: 'Name', pattern: /[A-Za-z_][A-Za-z0-9_.]*/ });
/** A word of the grammar that may also name a size, an op or an attribute. */
const word = (text: string) => createToken({ name: `Word ${text}`, pattern: text, longer_alt: Name, categories: Name });
const Module = word('module');
const Family = word('family');
const Custom = word('custom');
const Input = word('input');
const Output = word('output');
const Cache = word('cache');
const Weight = word('weight');
const ValueWord = word('value');
const Body = word('body');
const Return = word('return');
const Yield = word('yield');
const From = word('from');
const For = word('for');
const Infinite = createToken({ name: 'inf', pattern: /inf(?![A-Za-z0-9_.])/ });
const NotANumber = createToken({ name: 'nan', pattern: /nan(?![A-Za-z0-9_.])/ });
const Value = createToken({ name: 'Value', pattern: /%\d+/ });
const Digits = createToken({ name: 'Number', pattern: /\d+(\.\d+)?([eE][+-]?\d+)?/ });
const Text = createToken({ name: 'Text', pattern: /"([^"\\\n]|\\.)*"/ });
const sign = (name: string) => createToken({ name, pattern: name });
const Dots = sign('..');
const Open = sign('(');
const Close = sign(')');
const OpenList = sign('[');
const CloseList = sign(']');
const OpenBlock = sign('{');
const CloseBlock = sign('}');
const Comma = sign(',');
const Colon = sign(':');
const Semicolon = sign(';');
const Equals = sign('=');
const Plus = sign('+');
const Minus = sign('-');
const Star = sign('*');
const Slash = sign('/');
const Space = createToken({ name: 'Space', pattern: /\s+/, group: Lexer.SKIPPED });
const Comment = createToken({ name: 'Comment', pattern: /\/\/[^\n]*/, group: Lexer.SKIPPED });
const tokens = [
  Space, Comment, Infinite, NotANumber, Module, Family, Custom, Input, Output, Cache, Weight, ValueWord, Body, Return, Yield, From, For, Name,
  Value, Digits, Text, Dots, Open, Close, OpenList, CloseList, OpenBlock, CloseBlock, Comma, Colon, Semicolon, Equals, Plus, Minus, Star, Slash,
];

const at = (token: IToken): At => ({ line: token.startLine ?? 1, column: token.startColumn ?? 1 });

/** Reads a module's text, or tells where and why it is not one. */
export function readSyntax(text: string): ModuleSyntax | { readonly error: string; readonly at: At } {
  const lexed = new Lexer(tokens, { ensureOptimizations: false }).tokenize(text);
  const [bad] = lexed.errors;
  if (bad !== undefined) return { error: `\`${text[bad.offset]}\` is not part of the language`, at: { line: bad.line ?? 1, column: bad.column ?? 1 } };
  const parser = new GraphParser();
  parser.input = lexed.tokens;
  const module = parser.module();
  const [error] = parser.errors;
  if (error === undefined) return module;
  const last = lexed.tokens.at(-1);
  const place = Number.isNaN(error.token.startOffset) ? last : error.token;
  const what = error.token.image === '' ? 'the end of the text' : `\`${error.token.image}\``;
  return { error: `${what} does not fit here, in ${error.context.ruleStack.at(-1) ?? 'a module'}`, at: place === undefined ? { line: 1, column: 1 } : at(place) };
}

class GraphParser extends EmbeddedActionsParser {
  constructor() {
    super(tokens, { maxLookahead: 2 });
    this.performSelfAnalysis();
  }

  readonly module = this.RULE('module', (): ModuleSyntax => {
    this.CONSUME(Module);
    const name = this.SUBRULE(this.text);
    this.CONSUME(Family);
    const family = this.SUBRULE2(this.text);
    const entries: EntrySyntax[] = [];
    this.MANY(() => entries.push(this.SUBRULE(this.entry)));
    this.CONSUME(Body);
    return { name, family, entries, body: this.SUBRULE(this.block) };
  });

  readonly entry = this.RULE('entry', (): EntrySyntax =>
    this.OR<EntrySyntax>([
      { ALT: () => ({ at: at(this.CONSUME(Custom)), kind: 'custom', name: this.SUBRULE(this.text) }) },
      { ALT: () => ({ at: at(this.CONSUME(Input)), kind: 'input', name: this.SUBRULE1(this.text), word: this.SUBRULE1(this.word) }) },
      { ALT: () => ({ at: at(this.CONSUME(Output)), kind: 'output', name: this.SUBRULE2(this.text), word: this.SUBRULE2(this.word) }) },
      { ALT: () => ({ at: at(this.CONSUME(Cache)), kind: 'cache', name: this.SUBRULE3(this.text), fields: this.SUBRULE(this.fields) }) },
      { ALT: () => this.SUBRULE(this.weight) },
      { ALT: () => ({ at: at(this.CONSUME(ValueWord)), kind: 'value', value: this.SUBRULE(this.typed) }) },
    ]));

  readonly word = this.RULE('word', (): string => {
    this.CONSUME(Colon);
    return this.CONSUME(Name).image;
  });

  readonly fields = this.RULE('fields', (): readonly AttributeSyntax[] => {
    this.CONSUME(Colon);
    return this.SUBRULE(this.attributeList);
  });

  readonly weight = this.RULE('weight', (): EntrySyntax => {
    const place = at(this.CONSUME(Weight));
    const name = this.SUBRULE(this.text);
    this.CONSUME(Colon);
    const type = this.SUBRULE(this.type);
    this.CONSUME(Equals);
    const exprs: ExprSyntax[] = [];
    let range: readonly [number, number] | undefined;
    this.OR([
      {
        ALT: () => {
          this.CONSUME(OpenBlock);
          this.MANY_SEP({ SEP: Semicolon, DEF: () => exprs.push(this.SUBRULE1(this.expr)) });
          this.CONSUME(CloseBlock);
        },
      },
      {
        ALT: () => {
          exprs.push(this.SUBRULE2(this.expr));
          this.OPTION(() => {
            this.CONSUME(For);
            const first = this.SUBRULE1(this.number);
            this.CONSUME(Dots);
            range = [first, this.SUBRULE2(this.number)];
          });
        },
      },
    ]);
    return { kind: 'weight', name, type, exprs, range, at: place };
  });

  readonly expr = this.RULE('weight expression', (): ExprSyntax =>
    this.OR<ExprSyntax>([
      { ALT: () => ({ kind: 'text', text: this.SUBRULE(this.text) }) },
      { ALT: () => ({ kind: 'number', value: this.SUBRULE(this.number) }) },
      {
        ALT: () => {
          const name = this.CONSUME(Name);
          const numbers: number[] = [];
          const args: ExprSyntax[] = [];
          this.OPTION(() => {
            this.CONSUME(OpenList);
            this.MANY_SEP1({ SEP: Comma, DEF: () => numbers.push(this.SUBRULE2(this.number)) });
            this.CONSUME(CloseList);
          });
          this.CONSUME(Open);
          this.MANY_SEP2({ SEP: Comma, DEF: () => args.push(this.SUBRULE(this.expr)) });
          this.CONSUME(Close);
          return { kind: 'call', name: name.image, numbers, args, at: at(name) };
        },
      },
    ]));

  readonly block = this.RULE('block', (): BlockSyntax => {
    const params: TypedSyntax[] = [];
    const ops: OpSyntax[] = [];
    const yields: number[] = [];
    this.CONSUME(Open);
    this.MANY_SEP1({ SEP: Comma, DEF: () => params.push(this.SUBRULE(this.typed)) });
    this.CONSUME(Close);
    this.CONSUME(OpenBlock);
    this.MANY(() => ops.push(this.SUBRULE(this.op)));
    this.OR([{ ALT: () => this.CONSUME(Return) }, { ALT: () => this.CONSUME(Yield) }]);
    this.MANY_SEP2({ SEP: Comma, DEF: () => yields.push(this.SUBRULE(this.value)) });
    this.CONSUME(CloseBlock);
    return { params, ops, yields };
  });

  readonly op = this.RULE('op', (): OpSyntax => {
    const results: TypedSyntax[] = [];
    const operands: number[] = [];
    this.MANY_SEP1({ SEP: Comma, DEF: () => results.push(this.SUBRULE(this.typed)) });
    this.CONSUME(Equals);
    const kind = this.CONSUME(Name);
    this.CONSUME(Open);
    this.MANY_SEP2({ SEP: Comma, DEF: () => operands.push(this.SUBRULE(this.value)) });
    this.CONSUME(Close);
    const attributes = this.OPTION1(() => this.SUBRULE(this.attributes)) ?? [];
    const body = this.OPTION2(() => this.SUBRULE(this.block));
    const origin = this.OPTION3(() => {
      this.CONSUME(Semicolon);
      this.CONSUME(From);
      return this.SUBRULE(this.origin);
    });
    return { results, kind: kind.image, operands, attributes, body, origin, at: at(kind) };
  });

  readonly attributes = this.RULE('attributes', (): readonly AttributeSyntax[] => {
    this.CONSUME(OpenBlock);
    const list = this.SUBRULE(this.attributeList);
    this.CONSUME(CloseBlock);
    return list;
  });

  readonly attributeList = this.RULE('attribute list', (): readonly AttributeSyntax[] => {
    const list: AttributeSyntax[] = [];
    this.AT_LEAST_ONE_SEP({
      SEP: Comma,
      DEF: () => {
        const name = this.CONSUME(Name);
        const value = this.OPTION(() => this.SUBRULE(this.attributeValue));
        list.push({ name: name.image, value, at: at(name) });
      },
    });
    return list;
  });

  readonly attributeValue = this.RULE('attribute value', (): ValueSyntax =>
    this.OR<ValueSyntax>([
      { ALT: () => ({ kind: 'number', value: this.SUBRULE(this.number) }) },
      { ALT: () => ({ kind: 'text', text: this.SUBRULE(this.text) }) },
      { ALT: () => ({ kind: 'name', name: this.CONSUME(Name).image }) },
      {
        ALT: () => {
          const items: ValueSyntax[] = [];
          this.CONSUME(OpenList);
          this.MANY_SEP1({ SEP: Comma, DEF: () => items.push(this.SUBRULE1(this.attributeValue)) });
          this.CONSUME(CloseList);
          return { kind: 'list', items };
        },
      },
      {
        ALT: () => {
          const entries: { readonly key: string; readonly value: ValueSyntax }[] = [];
          this.CONSUME(OpenBlock);
          this.MANY_SEP2({ SEP: Comma, DEF: () => entries.push({ key: this.SUBRULE2(this.text), value: this.SUBRULE2(this.attributeValue) }) });
          this.CONSUME(CloseBlock);
          return { kind: 'record', entries };
        },
      },
    ]));

  readonly origin = this.RULE('origin', (): OriginSyntax => {
    const args: (string | number)[] = [];
    const from: OriginSyntax[] = [];
    return this.OR1([
      {
        ALT: () => {
          const by = this.CONSUME1(Text);
          this.CONSUME(Open);
          this.MANY_SEP({ SEP: Comma, DEF: () => from.push(this.SUBRULE(this.origin)) });
          this.CONSUME(Close);
          return { name: unquoted(by), derived: true, args, from, at: at(by) };
        },
      },
      {
        ALT: () => {
          const name = this.CONSUME(Name);
          this.MANY(() => this.OR2([{ ALT: () => args.push(unquoted(this.CONSUME2(Text))) }, { ALT: () => args.push(Number(this.CONSUME(Digits).image)) }]));
          return { name: name.image, derived: false, args, from, at: at(name) };
        },
      },
    ]);
  });

  readonly typed = this.RULE('typed value', (): TypedSyntax => {
    const value = this.CONSUME(Value);
    this.CONSUME(Colon);
    return { value: numberOf(value), type: this.SUBRULE(this.type), at: at(value) };
  });

  readonly type = this.RULE('type', (): TypeSyntax => {
    const dtype = this.CONSUME(Name);
    const shape: string[] = [];
    this.CONSUME(OpenList);
    this.MANY_SEP({ SEP: Comma, DEF: () => shape.push(this.SUBRULE(this.dim)) });
    this.CONSUME(CloseList);
    return { dtype: dtype.image, shape, at: at(dtype) };
  });

  readonly dim = this.RULE('dimension', (): string => {
    let text = '';
    this.AT_LEAST_ONE(() => {
      const token = this.OR([Name, Digits, Plus, Minus, Star, Slash, Open, Close].map((type) => ({ ALT: () => this.CONSUME(type) })));
      text += `${token.image} `;
    });
    return text;
  });

  readonly value = this.RULE('value', (): number => numberOf(this.CONSUME(Value)));

  readonly number = this.RULE('number', (): number => {
    const negative = this.OPTION(() => this.CONSUME(Minus)) !== undefined;
    const value = this.OR([
      { ALT: () => Number(this.CONSUME(Digits).image) },
      { ALT: () => (this.CONSUME(Infinite), Infinity) },
      { ALT: () => (this.CONSUME(NotANumber), NaN) },
    ]);
    return negative ? -value : value;
  });

  readonly text = this.RULE('text', (): string => unquoted(this.CONSUME(Text)));
}

const numberOf = (token: IToken): number => Number(token.image.slice(1));

/** The text of a JSON string; a wrong escape is kept as it stands. */
function unquoted(token: IToken): string {
  try {
    return String(JSON.parse(token.image));
  } catch {
    return token.image.slice(1, -1);
  }
}
