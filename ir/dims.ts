import type { Dim } from './types.ts';

/**
 * Dimensions as polynomials over named sizes with integer coefficients. A constant is a number; anything else is a string in
 * canonical form: monomials of higher degree first, then by name, names of a monomial sorted, the constant last
 * (`2*batch*sequence + past - 1`). Two dimensions are equal exactly if their canonical forms are.
 */
export type SizeEnv = ReadonlyMap<string, number>;

/** Monomial ('' is the constant, else names joined by `*`, sorted) to its coefficient, never 0. */
type Polynomial = ReadonlyMap<string, number>;

/** Reads `2*batch*(sequence + 1) - past`, in any order and spacing, to canonical form. Throws on other text. */
export function parseDim(text: string): Dim {
  return show(parsePolynomial(text));
}

export const addDims = (a: Dim, b: Dim): Dim => (typeof a === 'number' && typeof b === 'number' ? a + b : show(sum(read(a), read(b), 1)));
export const subDims = (a: Dim, b: Dim): Dim => (typeof a === 'number' && typeof b === 'number' ? a - b : show(sum(read(a), read(b), -1)));
/** A product of numbers is never -0. */
export const mulDims = (a: Dim, b: Dim): Dim => (typeof a === 'number' && typeof b === 'number' ? a * b + 0 : show(product(read(a), read(b))));

/** The product of all; 1 of none. */
export const volumeOf = (shape: readonly Dim[]): Dim => shape.reduce<Dim>(mulDims, 1);

/** a / b where that is a polynomial, else undefined (also for b = 0). Long division, as for any polynomials in a monomial order. */
export function divDims(a: Dim, b: Dim): Dim | undefined {
  const divisor = read(b);
  const lead = leading(divisor);
  if (lead === undefined) return undefined;
  let rest = read(a);
  let quotient: Polynomial = new Map();
  for (let top = leading(rest); top !== undefined; top = leading(rest)) {
    const names = without(namesOf(top.monomial), namesOf(lead.monomial));
    const coefficient = top.coefficient / lead.coefficient;
    if (names === undefined || !Number.isInteger(coefficient)) return undefined;
    const term: Polynomial = new Map([[names.join('*'), coefficient]]);
    quotient = sum(quotient, term, 1);
    rest = sum(rest, product(term, divisor), -1);
  }
  return show(quotient);
}

/** Whether two dimensions are the same polynomial, however they are written. */
export const equalDims = (a: Dim, b: Dim): boolean => a === b || (!(typeof a === 'number' && typeof b === 'number') && show(read(a)) === show(read(b)));

export const equalShapes = (a: readonly Dim[], b: readonly Dim[]): boolean => a.length === b.length && a.every((dim, i) => equalDims(dim, b[i] as Dim));

/** The number a dimension is when its sizes are those of `env`; throws naming a size that is not there. */
export function evaluateDim(dim: Dim, env: SizeEnv): number {
  if (typeof dim === 'number') return dim;
  let total = 0;
  for (const [monomial, coefficient] of read(dim)) {
    let value = coefficient;
    for (const name of namesOf(monomial)) {
      const size = env.get(name);
      if (size === undefined) throw new Error(`size \`${name}\` of dimension \`${dim}\` is not known`);
      value *= size;
    }
    total += value;
  }
  return total;
}

/** The dimension with each size of `values` replaced by its value. */
export function substituteDim(dim: Dim, values: ReadonlyMap<string, Dim>): Dim {
  if (typeof dim === 'number') return dim;
  let total: Dim = 0;
  for (const [monomial, coefficient] of read(dim)) {
    total = addDims(total, namesOf(monomial).reduce<Dim>((value, name) => mulDims(value, values.get(name) ?? name), coefficient));
  }
  return total;
}

/** Names of the sizes a dimension depends on, sorted. */
export const sizesOf = (dim: Dim): readonly string[] => (typeof dim === 'number' ? [] : [...new Set([...read(dim).keys()].flatMap(namesOf))].toSorted());

/** A source's own name for a size as a name the expressions can hold: other characters become `_`. */
export const sizeName = (text: string): string => text.replace(/[^A-Za-z0-9_.]/g, '_').replace(/^(?![A-Za-z_])/, '_');

const namesOf = (monomial: string): readonly string[] => (monomial === '' ? [] : monomial.split('*'));

const read = (dim: Dim): Polynomial => (typeof dim === 'number' ? constant(dim) : parsePolynomial(dim));
const constant = (value: number): Polynomial => new Map(value === 0 ? [] : [['', value]]);

/** a + sign * b */
function sum(a: Polynomial, b: Polynomial, sign: 1 | -1): Polynomial {
  const total = new Map(a);
  for (const [monomial, coefficient] of b) {
    const value = (total.get(monomial) ?? 0) + sign * coefficient;
    if (value === 0) total.delete(monomial);
    else total.set(monomial, value);
  }
  return total;
}

function product(a: Polynomial, b: Polynomial): Polynomial {
  let total: Polynomial = new Map();
  for (const [left, x] of a) {
    for (const [right, y] of b) {
      const monomial = [...namesOf(left), ...namesOf(right)].toSorted().join('*');
      total = sum(total, new Map([[monomial, x * y]]), 1);
    }
  }
  return total;
}

/** `names` less each of `taken` once; undefined if one is missing. */
function without(names: readonly string[], taken: readonly string[]): readonly string[] | undefined {
  const left = [...names];
  for (const name of taken) {
    const at = left.indexOf(name);
    if (at < 0) return undefined;
    left.splice(at, 1);
  }
  return left;
}

/** Graded lexicographic: degree first, then the names in order. Compatible with products, so division ends. */
function byMonomial(a: string, b: string): number {
  const left = namesOf(a);
  const right = namesOf(b);
  if (left.length !== right.length) return right.length - left.length;
  for (let i = 0; i < left.length; i++) {
    if (left[i] !== right[i]) return (left[i] as string) < (right[i] as string) ? -1 : 1;
  }
  return 0;
}

function leading(of: Polynomial): { readonly monomial: string; readonly coefficient: number } | undefined {
  const monomial = [...of.keys()].toSorted(byMonomial)[0];
  return monomial === undefined ? undefined : { monomial, coefficient: of.get(monomial) as number };
}

function show(polynomial: Polynomial): Dim {
  const monomials = [...polynomial.keys()].toSorted(byMonomial);
  if (monomials.length === 0) return 0;
  if (monomials.length === 1 && monomials[0] === '') return polynomial.get('') as number;
  return monomials
    .map((monomial, i) => {
      const coefficient = polynomial.get(monomial) as number;
      const size = Math.abs(coefficient);
      const text = monomial === '' ? String(size) : size === 1 ? monomial : `${size}*${monomial}`;
      if (i === 0) return coefficient < 0 ? `-${text}` : text;
      return coefficient < 0 ? ` - ${text}` : ` + ${text}`;
    })
    .join('');
}

/** expression = ['-'] term {('+' | '-') term}; term = factor {'*' factor}; factor = integer | name | '(' expression ')'. */
function parsePolynomial(text: string): Polynomial {
  const tokens = text.match(/[0-9]+|[A-Za-z_][A-Za-z0-9_.]*|\S/g) ?? [];
  let at = 0;
  const fail = (): never => {
    throw new Error(`\`${text}\` is not a dimension`);
  };
  const expression = (): Polynomial => {
    let total: Polynomial = new Map();
    let sign: 1 | -1 = 1;
    if (tokens[at] === '-') {
      sign = -1;
      at++;
    }
    for (;;) {
      total = sum(total, term(), sign);
      if (tokens[at] !== '+' && tokens[at] !== '-') return total;
      sign = tokens[at] === '-' ? -1 : 1;
      at++;
    }
  };
  const term = (): Polynomial => {
    let value = factor();
    while (tokens[at] === '*') {
      at++;
      value = product(value, factor());
    }
    return value;
  };
  const factor = (): Polynomial => {
    const token = tokens[at++] ?? fail();
    if (token === '(') {
      const inner = expression();
      return tokens[at++] === ')' ? inner : fail();
    }
    if (/^[0-9]/.test(token)) return constant(Number(token));
    return /^[A-Za-z_]/.test(token) ? new Map([[token, 1]]) : fail();
  };
  const result = expression();
  return at === tokens.length ? result : fail();
}
