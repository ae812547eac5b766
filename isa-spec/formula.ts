/**
 * Formulas of the records, as the manual prints them: numbers, names, calls, `+ - * / ^`, comparisons, `and`, `or`, `not`,
 * `condition ? a : b`; `x = a | b` is true of either. Words such as names of formats are compared with, and stand for
 * themselves. `sum(list, f)` adds f up over a list, whose members have names of their own. A name may stand for a formula,
 * of the names where it is used.
 */
export type Value = number | string | boolean | readonly Names[] | { readonly formula: string } | ((...values: readonly Value[]) => number);
/** By name; functions by their name and `()`, so that a field may have the name of one. */
export type Names = { readonly [name: string]: Value };

type Node =
  | { readonly is: 'number'; readonly value: number }
  | { readonly is: 'name'; readonly name: string }
  | { readonly is: 'call'; readonly name: string; readonly of: readonly Node[] }
  | { readonly is: 'operation'; readonly operator: string; readonly of: readonly Node[] };

/** Operators of two operands, loosest first. */
const levels: readonly (readonly string[])[] = [['or'], ['and'], ['=', '!=', '<', '<=', '>', '>='], ['|'], ['+', '-'], ['*', '/', 'mod'], ['^']];

class Parser {
  readonly #formula: string;
  readonly #tokens: readonly string[];
  #at = 0;

  constructor(formula: string) {
    this.#formula = formula;
    this.#tokens = formula.match(/[A-Za-z][\w.]*|\d+(?:\.\d+)?|[<>!]=|\S/g) ?? [];
  }

  whole(): Node {
    const node = this.#choice();
    return this.#at === this.#tokens.length ? node : this.#refuse();
  }

  #refuse(): never {
    throw new SyntaxError(`\`${this.#formula}\` stops making sense at \`${this.#tokens[this.#at] ?? 'its end'}\``);
  }

  #is(token: string): boolean {
    if (this.#tokens[this.#at] !== token) return false;
    this.#at++;
    return true;
  }

  #expect(token: string): void {
    if (!this.#is(token)) this.#refuse();
  }

  #choice(): Node {
    const condition = this.#level(0);
    if (!this.#is('?')) return condition;
    const then = this.#choice();
    this.#expect(':');
    return { is: 'operation', operator: '?', of: [condition, then, this.#choice()] };
  }

  #level(n: number): Node {
    const operators = levels[n];
    if (operators === undefined) return this.#atom();
    let left = this.#level(n + 1);
    for (let operator = this.#tokens[this.#at]; operator !== undefined && operators.includes(operator); operator = this.#tokens[this.#at]) {
      this.#at++;
      left = { is: 'operation', operator, of: [left, this.#level(n + 1)] };
    }
    return left;
  }

  #atom(): Node {
    const token = this.#tokens[this.#at++] ?? this.#refuse();
    if (token === 'not') return { is: 'operation', operator: 'not', of: [this.#atom()] };
    if (token === '(') {
      const inner = this.#choice();
      this.#expect(')');
      return inner;
    }
    if (/^\d/.test(token)) return { is: 'number', value: Number(token) };
    if (!/^[A-Za-z]/.test(token)) {
      this.#at--;
      return this.#refuse();
    }
    if (!this.#is('(')) return { is: 'name', name: token };
    const of = [this.#choice()];
    while (this.#is(',')) of.push(this.#choice());
    this.#expect(')');
    return { is: 'call', name: token, of };
  }
}

const parsed = new Map<string, Node>();
const parse = (formula: string): Node => {
  const node = parsed.get(formula) ?? new Parser(formula).whole();
  parsed.set(formula, node);
  return node;
};

const arithmetic: Readonly<Record<string, (a: number, b: number) => number | boolean>> = {
  '+': (a, b) => a + b, '-': (a, b) => a - b, '*': (a, b) => a * b, '/': (a, b) => a / b, 'mod': (a, b) => a % b, '^': (a, b) => a ** b,
  '<': (a, b) => a < b, '<=': (a, b) => a <= b, '>': (a, b) => a > b, '>=': (a, b) => a >= b,
};

/** The words, or numbers, of `a | b | c`. */
const alternatives = (node: Node, names: Names): readonly Value[] =>
  node.is === 'operation' && node.operator === '|' ? node.of.flatMap((part) => alternatives(part, names)) : [valueOf(node, names)];

const known = (name: string, names: Names): Value => {
  const value = names[name];
  if (value === undefined) throw new ReferenceError(`there is no \`${name}\``);
  return value;
};

const numberOf = (node: Node, names: Names): number => {
  const value = valueOf(node, names);
  if (typeof value !== 'number' && typeof value !== 'boolean') throw new TypeError(`${JSON.stringify(node)} is no number`);
  return Number(value);
};

const holds = (node: Node, names: Names): boolean => numberOf(node, names) !== 0;

const compared = (left: Value, right: Node, names: Names): boolean => {
  if (typeof left !== 'string') return alternatives(right, names).some((value) => value === Number(left));
  return wordsOf(right).includes(left);
};
const wordsOf = (node: Node): readonly string[] => (node.is === 'name' ? [node.name] : node.is === 'operation' && node.operator === '|' ? node.of.flatMap(wordsOf) : []);

const operation = (operator: string, of: readonly Node[], names: Names): number | boolean | Value => {
  const [a, b, c] = of as [Node, Node, Node];
  switch (operator) {
    case '?':
      return valueOf(holds(a, names) ? b : c, names);
    case 'not':
      return !holds(a, names);
    case 'and':
      return holds(a, names) && holds(b, names);
    case 'or':
      return holds(a, names) || holds(b, names);
    case '=':
    case '!=':
      return compared(valueOf(a, names), b, names) === (operator === '=');
    default:
      return arithmetic[operator]!(numberOf(a, names), numberOf(b, names));
  }
};

const called = (name: string, of: readonly Node[], names: Names): number => {
  if (name === 'sum') {
    const list = valueOf(of[0]!, names);
    if (!Array.isArray(list)) throw new TypeError('sum is of a list');
    return (list as readonly Names[]).reduce((total, member) => total + numberOf(of[1]!, { ...names, ...member }), 0);
  }
  const f = known(`${name}()`, names);
  if (typeof f !== 'function') throw new TypeError(`\`${name}\` is called, and no function`);
  return f(...of.map((node) => valueOf(node, names)));
};

const valueOf = (node: Node, names: Names): Value => {
  switch (node.is) {
    case 'number':
      return node.value;
    case 'name': {
      const value = known(node.name, names);
      return typeof value === 'object' && 'formula' in value ? valueOf(parse(value.formula), names) : value;
    }
    case 'call':
      return called(node.name, node.of, names);
    case 'operation':
      return operation(node.operator, node.of, names);
  }
};

/** The number a formula has where `names` say what its names are: 1 of a condition that holds, 0 of one that does not. Throws for a name that is not there. */
export const evaluate = (formula: string, names: Names): number => numberOf(parse(formula), names);
