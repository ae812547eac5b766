import type { Dim } from './types.ts';

/**
 * Dimensions as polynomials with integer coefficients over named sizes and rounded quotients of polynomials by a number. A constant
 * is a number; anything else is a string in canonical form: monomials of higher degree first, then by name, names of a monomial
 * sorted, the constant last (`2*batch*sequence + past - 1`, `floor((samples + 3)/5)`). Two dimensions of the same canonical form
 * are equal; without quotients, only those are.
 */
export type SizeEnv = ReadonlyMap<string, number>;

/** Monomial ('' is the constant, else its names and quotients, sorted, a line each) to its coefficient, never 0. */
type Polynomial = ReadonlyMap<string, number>;

/** Reads `2*batch*(sequence + 1) - past`, in any order and spacing, to canonical form. Throws on other text. */
export function parseDim(text: string): Dim {
  return remembered(text).dim;
}

export function addDims(a: Dim, b: Dim): Dim {
  if (typeof a === 'number' && typeof b === 'number') return a + b;
  if (a === 0) return canonical(b);
  return b === 0 ? canonical(a) : show(sum(read(a), read(b), 1));
}

export function subDims(a: Dim, b: Dim): Dim {
  if (typeof a === 'number' && typeof b === 'number') return a - b;
  return b === 0 ? canonical(a) : show(sum(read(a), read(b), -1));
}

/** A product of numbers is never -0. */
export function mulDims(a: Dim, b: Dim): Dim {
  if (typeof a === 'number' && typeof b === 'number') return a * b + 0;
  if (a === 1) return canonical(b);
  return b === 1 ? canonical(a) : show(product(read(a), read(b)));
}

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
    const term: Polynomial = new Map([[names.join('\n'), coefficient]]);
    quotient = sum(quotient, term, 1);
    rest = sum(rest, product(term, divisor), -1);
  }
  return show(quotient);
}

/** The largest whole number not above a / divisor, as the sizes are; the divisor is above 0. */
export const floorDims = (a: Dim, divisor: number): Dim => (typeof a === 'number' ? Math.floor(a / divisor) : show(floored(read(a), divisor)));

/** How many steps of that length, up or down, it takes to get across a span: the least whole number not below span / step. */
export const stepsAcross = (span: Dim, step: number): Dim => {
  const [distance, length] = step > 0 ? [span, step] : [subDims(0, span), -step];
  return floorDims(addDims(distance, length - 1), length);
};

function floored(a: Polynomial, divisor: number): Polynomial {
  const whole = new Map<string, number>();
  const rest = new Map<string, number>();
  for (const [monomial, coefficient] of a) {
    const quotient = Math.floor(coefficient / divisor);
    if (quotient !== 0) whole.set(monomial, quotient);
    if (coefficient !== quotient * divisor) rest.set(monomial, coefficient - quotient * divisor);
  }
  return sum(whole, quotientOf(rest, divisor), 1);
}

/** floor(rest / divisor), coefficients from 0 to the divisor. floor((g x + c) / (g d)) = floor((x + floor(c/g)) / d), and floor((floor(x/m) + c) / d) = floor((x + c m) / (d m)). */
function quotientOf(rest: Polynomial, divisor: number): Polynomial {
  const sizes = [...rest].filter(([monomial]) => monomial !== '');
  if (sizes.length === 0) return new Map();
  const factor = sizes.reduce((common, [, coefficient]) => gcd(common, coefficient), divisor);
  const added = Math.floor((rest.get('') ?? 0) / factor);
  const reduced: Polynomial = new Map([...sizes.map(([monomial, coefficient]) => [monomial, coefficient / factor] as const), ...(added === 0 ? [] : [['', added] as const])]);
  const by = divisor / factor;
  if (by === 1) return reduced;
  const [only, ...more] = [...reduced].filter(([monomial]) => monomial !== '');
  const inner = only?.[1] === 1 && more.length === 0 ? quotient(only[0]) : undefined;
  if (inner !== undefined) return floored(sum(read(inner.of), constant(added * inner.by), 1), by * inner.by);
  const text = String(show(reduced));
  return new Map([[`floor(${/[ *]/.test(text) ? `(${text})` : text}/${by})`, 1]]);
}

const gcd = (a: number, b: number): number => (b === 0 ? a : gcd(b, a % b));

/** What a name of a monomial is a quotient of, if it is one. */
function quotient(name: string): { readonly of: Dim; readonly by: number } | undefined {
  const [, of, by] = /^floor\((.*)\/([0-9]+)\)$/.exec(name) ?? [];
  return of === undefined ? undefined : { of: parseDim(of), by: Number(by) };
}

/** The least a dimension can be, as sizes are not negative; -Infinity if a growing size may make it smaller. */
export function leastOf(dim: Dim): number {
  if (typeof dim === 'number') return dim;
  const polynomial = read(dim);
  return [...polynomial].some(([monomial, coefficient]) => monomial !== '' && coefficient < 0) ? -Infinity : (polynomial.get('') ?? 0);
}

/** How many names and quotients each term of a dimension multiplies. */
export const degreesOf = (dim: Dim): readonly number[] => [...read(dim).keys()].map((monomial) => namesOf(monomial).length);

/** Whether two dimensions are the same polynomial, however they are written. */
export const equalDims = (a: Dim, b: Dim): boolean => a === b || (!(typeof a === 'number' && typeof b === 'number') && canonical(a) === canonical(b));

export const equalShapes = (a: readonly Dim[], b: readonly Dim[]): boolean => a.length === b.length && a.every((dim, i) => equalDims(dim, b[i] as Dim));

/** The number a dimension is when its sizes are those of `env`; throws naming a size that is not there. */
export function evaluateDim(dim: Dim, env: SizeEnv): number {
  if (typeof dim === 'number') return dim;
  let total = 0;
  for (const [monomial, coefficient] of read(dim)) {
    let value = coefficient;
    for (const name of namesOf(monomial)) {
      const rounded = quotient(name);
      const size = rounded === undefined ? env.get(name) : Math.floor(evaluateDim(rounded.of, env) / rounded.by);
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
  const replaced = (name: string): Dim => {
    const rounded = quotient(name);
    return rounded === undefined ? (values.get(name) ?? name) : floorDims(substituteDim(rounded.of, values), rounded.by);
  };
  let total: Dim = 0;
  for (const [monomial, coefficient] of read(dim)) {
    total = addDims(total, namesOf(monomial).reduce<Dim>((value, name) => mulDims(value, replaced(name)), coefficient));
  }
  return total;
}

/** Names of the sizes a dimension depends on, sorted. */
export const sizesOf = (dim: Dim): readonly string[] => (typeof dim === 'number' ? [] : remembered(dim).sizes);

const sizesIn = (polynomial: Polynomial): readonly string[] => [...new Set([...polynomial.keys()].flatMap(namesOf).flatMap((name) => sizesOfQuotient(name) ?? [name]))].toSorted();

function sizesOfQuotient(name: string): readonly string[] | undefined {
  const rounded = quotient(name);
  return rounded === undefined ? undefined : sizesOf(rounded.of);
}

/** A source's own name for a size as a name the expressions can hold: other characters become `_`. */
export const sizeName = (text: string): string => text.replace(/[^A-Za-z0-9_.]/g, '_').replace(/^(?![A-Za-z_])/, '_');

const namesOf = (monomial: string): readonly string[] => (monomial === '' ? [] : monomial.split('\n'));

const read = (dim: Dim): Polynomial => (typeof dim === 'number' ? constant(dim) : remembered(dim).polynomial);
const canonical = (dim: Dim): Dim => (typeof dim === 'number' ? dim : remembered(dim).dim);
const constant = (value: number): Polynomial => new Map(value === 0 ? [] : [['', value]]);

/** Dimensions read before: a module says the same few thousands of times over. Polynomials are never changed. */
type Read = { readonly polynomial: Polynomial; readonly dim: Dim; readonly sizes: readonly string[] };
const known = new Map<string, Read>();
const mostKnown = 1024;

function remembered(text: string): Read {
  const found = known.get(text);
  if (found !== undefined) return found;
  const polynomial = parsePolynomial(text);
  const read = { polynomial, dim: show(polynomial), sizes: sizesIn(polynomial) };
  if (known.size >= mostKnown) known.clear();
  known.set(text, read);
  return read;
}

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
      const monomial = [...namesOf(left), ...namesOf(right)].toSorted().join('\n');
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
      const names = namesOf(monomial).join('*');
      const text = monomial === '' ? String(size) : size === 1 ? names : `${size}*${names}`;
      if (i === 0) return coefficient < 0 ? `-${text}` : text;
      return coefficient < 0 ? ` - ${text}` : ` + ${text}`;
    })
    .join('');
}

/** expression = ['-'] term {('+' | '-') term}; term = factor {'*' factor}; factor = integer | name | '(' expression ')' | 'floor' '(' expression '/' integer ')'. */
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
    if (token === 'floor' && tokens[at] === '(') {
      at++;
      const inner = expression();
      const [slash, by = '', close] = tokens.slice(at, (at += 3));
      return slash === '/' && /^[1-9][0-9]*$/.test(by) && close === ')' ? floored(inner, Number(by)) : fail();
    }
    if (/^[0-9]/.test(token)) return constant(Number(token));
    return /^[A-Za-z_]/.test(token) ? new Map([[token, 1]]) : fail();
  };
  const result = expression();
  return at === tokens.length ? result : fail();
}
