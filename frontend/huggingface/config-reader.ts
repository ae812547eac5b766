import type { Diagnostics } from '../../diagnostics/diagnostic.ts';
import { isObject, type Json, type JsonObject, quote } from './json.ts';
import { nearest } from './nearest.ts';

/** What a whole number of a config may be. */
export type Range = { readonly from: number; readonly to: number };

/**
 * Reads the fields of one config object and keeps account of them: each is read, declared to change nothing, or reported. A
 * field that is wrong is reported (E2003) and read as NaN or its default, so that reading can go on and find the rest.
 */
export class ConfigReader {
  readonly #object: JsonObject;
  readonly #prefix: string;
  readonly #diagnostics: Diagnostics;
  readonly #consumed = new Set<string>();

  constructor(object: JsonObject, prefix: string, diagnostics: Diagnostics) {
    this.#object = object;
    this.#prefix = prefix;
    this.#diagnostics = diagnostics;
  }

  /** The JSON path of a field. */
  path(key: string): string {
    return `${this.#prefix}${key}`;
  }

  /** The value of a field, which now counts as read; undefined if absent or null (transformers makes no difference). */
  take(key: string): Json | undefined {
    this.#consumed.add(key);
    return Object.hasOwn(this.#object, key) ? (this.#object[key] ?? undefined) : undefined;
  }

  /** The value of a field without reading it. */
  peek(key: string): Json | undefined {
    return Object.hasOwn(this.#object, key) ? (this.#object[key] ?? undefined) : undefined;
  }

  /** Whether the field is there, null or not. */
  has(key: string): boolean {
    return Object.hasOwn(this.#object, key);
  }

  /** A whole number in range. Absent: the default, or reported when there is none. */
  integer(key: string, range: Range, otherwise?: number): number {
    const value = this.take(key);
    if (value === undefined) return otherwise ?? this.#missing(key, `a whole number from ${range.from} to ${range.to}`);
    if (Number.isInteger(value) && (value as number) >= range.from && (value as number) <= range.to) return value as number;
    return this.wrong(key, value, `it has to be a whole number from ${range.from} to ${range.to}`);
  }

  /** A finite number above zero. */
  positive(key: string, otherwise?: number): number {
    const value = this.take(key);
    if (value === undefined) return otherwise ?? this.#missing(key, 'a number above 0');
    if (typeof value === 'number' && Number.isFinite(value) && value > 0) return value;
    return this.wrong(key, value, 'it has to be a finite number above 0');
  }

  boolean(key: string, otherwise: boolean): boolean {
    const value = this.take(key);
    if (value === undefined || typeof value === 'boolean') return value ?? otherwise;
    this.wrong(key, value, 'it has to be true or false');
    return otherwise;
  }

  /** One of the names of a table, as its entry. */
  choice<T>(key: string, table: Readonly<Record<string, T>>, otherwise: string): T | undefined {
    const value = this.take(key) ?? otherwise;
    if (typeof value === 'string' && Object.hasOwn(table, value)) return table[value];
    const near = typeof value === 'string' ? nearest(value, Object.keys(table)) : [];
    this.wrong(key, value, `it has to be one of ${Object.keys(table).map((name) => `\`${name}\``).join(', ')}`, near.length > 0 ? `did you mean \`${near[0]}\`?` : undefined);
    return undefined;
  }

  /** An object field read by an account of its own. */
  object(key: string): ConfigReader | undefined {
    const value = this.take(key);
    if (value === undefined) return undefined;
    if (isObject(value)) return new ConfigReader(value, `${this.path(key)}.`, this.#diagnostics);
    this.wrong(key, value, 'it has to be an object');
    return undefined;
  }

  /** Reports the value of a field; the rule says what it has to be. */
  wrong(key: string, value: Json | undefined, rule: string, help?: string): number {
    const path = this.path(key);
    this.#diagnostics.report({ code: 'E2003', message: `\`${path}\` is ${quote(value)}, but ${rule}`, origin: { kind: 'config', path }, ...(help === undefined ? {} : { help }) });
    return NaN;
  }

  #missing(key: string, what: string): number {
    const path = this.path(key);
    this.#diagnostics.report({ code: 'E2003', message: `\`${path}\` is missing, but the network's shape depends on it`, origin: { kind: 'config', path }, help: `give ${what}` });
    return NaN;
  }

  /** Closes the account: what was neither read nor is `inert` is reported, with the names nearest to it. */
  close(inert: Readonly<Record<string, string>>): void {
    for (const key of Object.keys(this.#object)) {
      if (this.#consumed.has(key) || Object.hasOwn(inert, key)) continue;
      const near = nearest(key, new Set([...this.#consumed, ...Object.keys(inert)]));
      const path = this.path(key);
      this.#diagnostics.report({
        code: 'E2004',
        message: `\`${path}\` (${quote(this.#object[key])}) is not a field of this model type, so what it would change is not known`,
        origin: { kind: 'config', path },
        help: near.length > 0 ? `did you mean ${near.map((name) => `\`${name}\``).join(' or ')}? if it changes nothing, remove it` : 'if it changes nothing, remove it',
      });
    }
  }
}
