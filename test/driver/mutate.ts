/** A generator of 32-bit numbers below `bound`, the same for the same seed (mulberry32). */
export type Random = (bound: number) => number;

export function random(seed: number): Random {
  let state = seed >>> 0;
  return (bound) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % bound;
  };
}

/** A model file with a place or a few damaged, most of them where its graph is written down (`structure`) rather than in its weights. */
export function mutated(bytes: Uint8Array, structure: readonly number[], next: Random): Uint8Array {
  let made: Uint8Array = Uint8Array.from(bytes);
  for (let left = next(2) === 0 ? 1 : 1 + next(4); left > 0 && made.length > 0; left--) {
    const at = Math.min(made.length - 1, next(8) === 0 ? next(made.length) : (structure[next(structure.length)] ?? 0));
    made = damages[next(damages.length)]!(made, at, next);
  }
  return made;
}

type Damage = (bytes: Uint8Array, at: number, next: Random) => Uint8Array;

const set: Damage = (bytes, at, next) => bytes.with(at, next(256));
/** Bytes that are common in small whole numbers, dimensions and tags. */
const small: Damage = (bytes, at, next) => bytes.with(at, next(32));
const damages: readonly Damage[] = [
  set,
  small,
  small,
  small,
  (bytes, at, next) => bytes.with(at, (bytes[at] as number) ^ (1 << next(8))),
  (bytes, at, next) => bytes.with(at, ((bytes[at] as number) + (next(2) === 0 ? 1 : 255)) & 255),
  (bytes, at, next) => spliced(bytes, at, at + 1 + next(16), new Uint8Array(0)),
  (bytes, at, next) => spliced(bytes, at, at, bytes.slice(at, at + 1 + next(64))),
  (bytes, at, next) => spliced(bytes, at, at + 1, Uint8Array.of(0xff, 0xff, 0xff, 0xff, next(16))),
  (bytes, at, next) => (next(4) === 0 ? bytes.slice(0, at) : set(bytes, at, next)),
];

function spliced(bytes: Uint8Array, from: number, to: number, by: Uint8Array): Uint8Array {
  const end = Math.min(to, bytes.length);
  const made = new Uint8Array(bytes.length - (end - from) + by.length);
  made.set(bytes.subarray(0, from));
  made.set(by, from);
  made.set(bytes.subarray(end), from + by.length);
  return made;
}

/** Places near text: names of nodes, operators and attributes, and the fields around them. */
export function textual(bytes: Uint8Array): readonly number[] {
  const isText = (byte: number | undefined): boolean => byte !== undefined && byte >= 0x2e && byte < 0x7b;
  const places: number[] = [];
  for (let at = 0; at < bytes.length; at++) {
    let near = 0;
    for (let i = at - 6; i <= at + 6; i++) if (isText(bytes[i])) near++;
    if (near >= 9) places.push(at);
  }
  return places;
}
