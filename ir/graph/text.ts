/** A number as the text form writes it: JavaScript's shortest digits; `nan`, `inf`, `-inf`. */
export function printNumber(value: number): string {
  if (Object.is(value, -0)) return '-0';
  if (Number.isNaN(value)) return 'nan';
  if (!Number.isFinite(value)) return value > 0 ? 'inf' : '-inf';
  return String(value);
}

/** A text in double quotes, escaped as in JSON. */
export const quote = (text: string): string => JSON.stringify(text);
