export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

/** Containers and machine files nest a few levels; more is not one of ours, and must not exhaust the stack. */
const deepest = 64;

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> => typeof value === 'object' && value !== null && !Array.isArray(value);

/** JSON with sorted keys and no spaces: equal values are equal texts. Throws a TypeError for what JSON cannot say (NaN, undefined). */
export const canonicalJson = (value: Json, depth = 0): string => {
  if (depth > deepest) throw new TypeError(`nested more than ${deepest} levels deep`);
  if (Array.isArray(value)) return `[${value.map((item: Json) => canonicalJson(item, depth + 1)).join(',')}]`;
  if (isObject(value)) {
    const keys = Object.keys(value).toSorted((a, b) => (a < b ? -1 : 1));
    return `{${keys.map((key) => `${JSON.stringify(key)}:${canonicalJson(value[key] as Json, depth + 1)}`).join(',')}}`;
  }
  if (typeof value === 'number' && !Number.isFinite(value)) throw new TypeError(`${value} is no JSON number`);
  const text = JSON.stringify(value) as string | undefined;
  if (text === undefined) throw new TypeError('undefined is no JSON value');
  return text;
};

/** Reads a value as a T; what keeps it from being one is added to `problems`, with the path of the place. */
export type Check<T> = (value: unknown, at: string, problems: string[]) => T;
export type Checked<C> = C extends Check<infer T> ? T : never;

const expected = (what: string, value: unknown, at: string, problems: string[]): void => {
  const text = (JSON.stringify(value) as string | undefined) ?? 'missing';
  problems.push(`\`${at === '' ? '.' : at}\` must be ${what}, is ${text.length > 60 ? `${text.slice(0, 57)}...` : text}`);
};

export const text: Check<string> = (value, at, problems) => {
  if (typeof value !== 'string') expected('a text', value, at, problems);
  return value as string;
};

export const numberFrom =
  (least: number, most: number): Check<number> =>
  (value, at, problems) => {
    if (typeof value !== 'number' || !(value >= least && value <= most)) expected(`a number from ${least} to ${most}`, value, at, problems);
    return value as number;
  };

export const integerFrom =
  (least: number, most: number): Check<number> =>
  (value, at, problems) => {
    if (!Number.isInteger(value) || (value as number) < least || (value as number) > most) expected(`an integer from ${least} to ${most}`, value, at, problems);
    return value as number;
  };

export const nameOf =
  <const N extends readonly string[]>(names: N): Check<N[number]> =>
  (value, at, problems) => {
    if (!names.includes(value as string)) expected(`one of ${names.join(', ')}`, value, at, problems);
    return value as N[number];
  };

export const listOf =
  <T>(item: Check<T>): Check<readonly T[]> =>
  (value, at, problems) => {
    if (!Array.isArray(value)) expected('a list', value, at, problems);
    else value.forEach((element, i) => item(element, `${at}[${i}]`, problems));
    return value as readonly T[];
  };

/** An object with exactly these keys. */
export const record =
  <const F extends Readonly<Record<string, Check<unknown>>>>(fields: F): Check<{ readonly [K in keyof F]: Checked<F[K]> }> => {
  const keys = Object.keys(fields);
  return (value, at, problems) => {
    if (!isObject(value)) expected('an object', value, at, problems);
    else {
      const inside = (key: string): string => (at === '' ? key : `${at}.${key}`);
      let known = 0;
      for (let i = 0; i < keys.length; i++) {
        const key = keys[i]!;
        const isThere = Object.hasOwn(value, key);
        if (isThere) known++;
        fields[key]!(isThere ? value[key] : undefined, inside(key), problems);
      }
      const given = Object.keys(value);
      if (given.length > known) for (const key of given) if (!Object.hasOwn(fields, key)) problems.push(`\`${inside(key)}\` is not known here`);
    }
    return value as never;
  };
};

/** An object with any keys. */
export const mapOf =
  <T>(item: Check<T>): Check<{ readonly [key: string]: T }> =>
  (value, at, problems) => {
    if (!isObject(value)) expected('an object', value, at, problems);
    else for (const [key, element] of Object.entries(value)) item(element, `${at}.${key}`, problems);
    return value as never;
  };

/** Any JSON value that is there. */
export const anything: Check<Json> = (value, at, problems) => {
  if (value === undefined) expected('there', value, at, problems);
  return value as Json;
};

export const object: Check<{ readonly [key: string]: Json }> = mapOf(anything);
