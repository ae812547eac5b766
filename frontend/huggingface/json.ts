/** What JSON can hold, and the numbers Python's writer adds to it. */
export type Json = null | boolean | number | string | readonly Json[] | JsonObject;
export type JsonObject = { readonly [key: string]: Json };

export const isObject = (value: Json | undefined): value is JsonObject => typeof value === 'object' && value !== null && !Array.isArray(value);
export const isList = (value: Json | undefined): value is readonly Json[] => Array.isArray(value);

/** What a text holds; `nonFinite` names the tokens outside JSON (`Infinity`, `NaN`) it was read with. Throws on other text. */
export function parseJson(text: string): { readonly value: Json; readonly nonFinite: readonly string[] } {
  const nonFinite = new Set<string>();
  try {
    return { value: JSON.parse(text) as Json, nonFinite: [] };
  } catch (error) {
    const replaced = text.replace(/"[^"\\]*(?:\\.[^"\\]*)*"|-?\bInfinity\b|\bNaN\b/g, (token) => {
      if (token.startsWith('"')) return token;
      nonFinite.add(token);
      return replacements[token] ?? token;
    });
    if (nonFinite.size === 0) throw error;
    return { value: JSON.parse(replaced) as Json, nonFinite: [...nonFinite] };
  }
}

/** JSON for what overflows to the infinities; a NaN becomes a string, so that no number field takes it. */
const replacements: Readonly<Record<string, string>> = { Infinity: '1e999', '-Infinity': '-1e999', NaN: '"NaN"' };

/** A value as a message quotes it, short. */
export function quote(value: Json | undefined): string {
  const text = typeof value === 'number' ? String(value) : (JSON.stringify(value) ?? 'nothing');
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}
