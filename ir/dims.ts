import type { Dim } from './types.ts';

/**
 * Dimensions as polynomials with integer coefficients over named sizes, rounded quotients of polynomials by a number, and the lesser of a
 * polynomial and a number, written `min(past/4095)`. A constant is a number; anything else is a string in canonical form: monomials of higher
 * degree first, then by name, names of a monomial sorted, the constant last (`2*batch*sequence + past - 1`, `floor((samples + 3)/5)`). Two
 * dimensions of the same canonical form are equal; without quotients and minima, only those are.
 */
export type SizeEnv = ReadonlyMap<string, number>;

/** Monomial ('' is the constant, else its names, quotients and minima, sorted, a line each) to its coefficient, never 0. */
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
  const inner = only?.[1] === 1 && more.length === 0 ? functionOf(only[0]) : undefined;
  if (inner?.fn === 'floor') return floored(sum(read(inner.of), constant(added * inner.by), 1), by * inner.by);
  return new Map([[`floor(${grouped(show(reduced))}/${by})`, 1]]);
}

/** The lesser of a dimension and a number. */
export const minDims = (a: Dim, most: number): Dim => (typeof a === 'number' ? Math.min(a, most) : show(lesser(read(a), most)));

/** min(x + c, n) = min(x, n - c) + c, and min(min(x, m), n) = min(x, n) if n < m. */
function lesser(a: Polynomial, most: number): Polynomial {
  if (leastIn(a) >= most) return constant(most);
  const added = constant(a.get('') ?? 0);
  const rest = show(sum(a, added, -1));
  if (typeof rest === 'number') return constant(Math.min(a.get('') ?? 0, most));
  const inner = functionOf(rest);
  const [of, by] = inner?.fn === 'min' ? [inner.of, Math.min(inner.by, most - (a.get('') ?? 0))] : [rest, most - (a.get('') ?? 0)];
  return sum(new Map([[`min(${grouped(of)}/${by})`, 1]]), added, 1);
}

/** An expression as one of a larger one. */
const grouped = (dim: Dim): string => (/[ *]/.test(String(dim)) ? `(${dim})` : String(dim));

const gcd = (a: number, b: number): number => (b === 0 ? a : gcd(b, a % b));

/** What a name of a monomial is a quotient of, or the lesser of and a number, if it is either. */
function functionOf(name: string): { readonly fn: 'floor' | 'min'; readonly of: Dim; readonly by: number } | undefined {
  if (!isFunction.test(name)) return undefined;
  const [, fn, of, by] = isFunction.exec(name) as unknown as readonly [string, 'floor' | 'min', string, string];
  const open = [...of].reduce((depth, letter) => (depth < 0 ? depth : depth + (letter === '(' ? 1 : letter === ')' ? -1 : 0)), 0);
  return open === 0 ? { fn, of: parseDim(of), by: Number(by) } : undefined;
}

const isFunction = /^(floor|min)\((.*)\/(-?[0-9]+)\)$/;

/** The least a dimension can be, as sizes are not negative; -Infinity if a growing size may make it smaller. */
export const leastOf = (dim: Dim): number => (typeof dim === 'number' ? dim : leastIn(read(dim)));

function leastIn(polynomial: Polynomial): number {
  const mayBeNegative = (monomial: string): boolean => namesOf(monomial).some((name) => leastOf(functionOf(name)?.of ?? 0) < 0);
  return [...polynomial].some(([monomial, coefficient]) => monomial !== '' && (coefficient < 0 || mayBeNegative(monomial))) ? -Infinity : (polynomial.get('') ?? 0);
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
      const made = functionOf(name);
      const size = made === undefined ? env.get(name) : valueOf(made.fn, evaluateDim(made.of, env), made.by);
      if (size === undefined) throw new Error(`size \`${name}\` of dimension \`${dim}\` is not known`);
      value *= size;
    }
    total += value;
  }
  return total;
}

const valueOf = (fn: 'floor' | 'min', of: number, by: number): number => (fn === 'floor' ? Math.floor(of / by) : Math.min(of, by));

/** The dimension with each size of `values` replaced by its value, and so with each minimum that has one. */
export function substituteDim(dim: Dim, values: ReadonlyMap<string, Dim>): Dim {
  if (typeof dim === 'number') return dim;
  const replaced = (name: string): Dim => {
    const made = functionOf(name);
    if (made === undefined || values.has(name)) return values.get(name) ?? name;
    const of = substituteDim(made.of, values);
    return made.fn === 'floor' ? floorDims(of, made.by) : minDims(of, made.by);
  };
  let total: Dim = 0;
  for (const [monomial, coefficient] of read(dim)) {
    total = addDims(total, namesOf(monomial).reduce<Dim>((value, name) => mulDims(value, replaced(name)), coefficient));
  }
  return total;
}

/** Names of the sizes a dimension depends on, sorted. */
export const sizesOf = (dim: Dim): readonly string[] => (typeof dim === 'number' ? [] : remembered(dim).sizes);

/** The lesser of a dimension and `most`, as it is named. */
type Minimum = { readonly name: string; readonly of: Dim; readonly most: number };

/** The minima a dimension is made of. */
export const minimaIn = (dim: Dim): readonly Minimum[] =>
  [...new Set([...read(dim).keys()].flatMap(namesOf))].flatMap((name) => {
    const made = functionOf(name);
    return made === undefined ? [] : [...(made.fn === 'min' ? [{ name, of: made.of, most: made.by }] : []), ...minimaIn(made.of)];
  });

const sizesIn = (polynomial: Polynomial): readonly string[] => [...new Set([...polynomial.keys()].flatMap(namesOf).flatMap((name) => sizesOfFunction(name) ?? [name]))].toSorted();

function sizesOfFunction(name: string): readonly string[] | undefined {
  const made = functionOf(name);
  return made === undefined ? undefined : sizesOf(made.of);
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

/** expression = ['-'] term {('+' | '-') term}; term = factor {'*' factor}; factor = integer | name | '(' expression ')' | ('floor' | 'min') '(' expression '/' integer ')'. */
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
    if ((token === 'floor' || token === 'min') && tokens[at] === '(') {
      at++;
      const inner = expression();
      const end = (tokens as readonly string[]).indexOf(')', at);
      const [slash, ...by] = tokens.slice(at, end < 0 ? tokens.length : end);
      at = end + 1;
      const number = by.join('');
      if (end < 0 || slash !== '/' || !(token === 'floor' ? /^[1-9][0-9]*$/ : /^-?[0-9]+$/).test(number)) return fail();
      return token === 'floor' ? floored(inner, Number(number)) : lesser(inner, Number(number));
    }
    if (/^[0-9]/.test(token)) return constant(Number(token));
    return /^[A-Za-z_]/.test(token) ? new Map([[token, 1]]) : fail();
  };
  const result = expression();
  return at === tokens.length ? result : fail();
}
