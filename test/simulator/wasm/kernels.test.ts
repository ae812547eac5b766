import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeBf16, e4m3Values, exp2f, toBf16 } from '../../../isa-spec/numerics.ts';
import { simdEngine } from '../../../simulator/wasm/engine.ts';

const engine = simdEngine();
if (engine === undefined) throw new Error('no WebAssembly SIMD');
const { functions } = engine;

/** All codes of a format, as rows of 16. */
const columns = 16;
const formats = {
  // NaN as the number its code would be.
  e4m3: { codes: 256, codeBytes: 1, value: (code: number): number => (code === 0x7f ? 480 : code === 0xff ? -480 : e4m3Values[code]!), bytes: 8, lanes: 4, pack: functions.packF64, transpose: functions.transposeF64 },
  bf16: { codes: 65536, codeBytes: 2, value: decodeBf16, bytes: 4, lanes: 8, pack: functions.packF32, transpose: functions.transposeF32 },
} as const;

describe.each(Object.entries(formats))('%s in panels', (_, { codes, codeBytes, value, bytes, lanes, pack, transpose }) => {
  const rows = codes / columns;
  const areas = engine.reserve({ from: codes * codeBytes, to: codes * bytes });
  const values = (): Float32Array | Float64Array => (bytes === 8 ? engine.views.f64.subarray(areas.to / 8, areas.to / 8 + codes) : engine.views.f32.subarray(areas.to / 4, areas.to / 4 + codes));
  /** The element of step k and column n, `depth` steps deep. */
  const placeOf = (k: number, n: number, depth: number): number => (Math.floor(n / lanes) * depth + k) * lanes + (n % lanes);
  const fill = (): void => {
    for (let code = 0; code < codes; code++) (codeBytes === 1 ? engine.views.u8 : engine.views.u16)[areas.from / codeBytes + code] = code;
  };

  it('are every code, row by row', () => {
    fill();
    pack(areas.from, columns * codeBytes, areas.to, rows, columns);
    const made = values();
    for (let code = 0; code < codes; code++) expect(made[placeOf(Math.floor(code / columns), code % columns, rows)], `code ${code}`).toBe(value(code));
  });

  it('are every code, columns by rows', () => {
    fill();
    transpose(areas.from, columns * codeBytes, areas.to, columns, rows);
    const made = values();
    for (let code = 0; code < codes; code++) expect(made[placeOf(code % columns, Math.floor(code / columns), columns)], `code ${code}`).toBe(value(code));
  });
});

describe.each([['softenF32', 4], ['softenF64', 8]] as const)('%s has the bits of the specification\'s functions', (name, bytes) => {
  const keys = 12;
  const areas = engine.reserve({ scores: keys * bytes, weights: keys * bytes, spans: 8, most: 4, sums: 8, factor: 4 });
  const { f32, f64, i32 } = engine.views;
  const list = (at: number): Float32Array | Float64Array => (bytes === 8 ? f64 : f32).subarray(at / bytes, at / bytes + keys);

  const check = (scores: readonly number[], [from, to]: readonly [number, number], before: number, factor: number): void => {
    list(areas.scores).set(scores);
    i32.set([from, to], areas.spans / 4);
    f32[areas.most / 4] = before;
    f32[areas.factor / 4] = factor;
    functions[name](areas.scores, areas.weights, keys * bytes, keys, areas.spans, areas.most, areas.sums, 1, areas.factor);
    const z = scores.map((score) => Math.fround(Math.fround(score) * Math.fround(factor)));
    const most = Math.max(Math.fround(before), ...z.slice(from, to));
    const weights = z.map((value, j) => {
      const p = toBf16(exp2f(Math.fround(value - most)));
      const unseen = most === -Infinity || most !== most ? NaN : 0;
      return j < from || j >= to ? unseen : p < 2 ** -18 ? 0 : p;
    });
    expect([...list(areas.weights)]).toEqual(weights);
    expect(f32[areas.most / 4]).toBe(most);
    expect(f64[areas.sums / 8]).toBe(weights.reduce((sum, p) => sum + p, 0));
  };

  it('of scores near and far', () => {
    const score = fc.oneof(fc.double({ min: -30, max: 0 }), fc.double({ min: -1e-3, max: 1e-3 }), fc.constantFrom(0, -0, -17.99, -18, -18.01, -19, -64, -1e30, 1e30, Infinity, -Infinity, NaN), fc.float());
    fc.assert(
      fc.property(fc.array(score, { minLength: keys, maxLength: keys }), fc.nat(keys - 1), fc.nat(keys - 1), fc.constantFrom(-Infinity, -3, 0, 2.5, NaN), fc.constantFrom(1, 0.2, 1.44), (scores, a, b, before, factor) => {
        check(scores, [Math.min(a, b), Math.max(a, b) + 1], before, factor);
      }),
      { numRuns: 2000 },
    );
  });

  it('of every distance below the largest that a table of 32 roots sees', () => {
    for (let step = 0; step < 32 * 20 * 8; step += keys - 1) {
      check([0, ...Array.from({ length: keys - 1 }, (_, j) => -(step + j) / 256)], [0, keys], -Infinity, 1);
    }
  });
});
