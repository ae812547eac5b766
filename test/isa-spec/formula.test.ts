import { describe, expect, it } from 'vitest';
import { evaluate } from '../../isa-spec/formula.ts';

const names = {
  a: 7, b: 2, yes: true, format: 'bf16', lines: 5, area: { formula: 'a * b' },
  'lines()': (n: unknown) => Math.ceil((n as number) / 64), 'max()': (...values: readonly unknown[]) => Math.max(...(values as number[])),
  rows: [{ n: 1 }, { n: 2, a: 100 }, { n: 3 }],
};
const of = (formula: string): number => evaluate(formula, names);

describe('formulas', () => {
  it.each([
    ['1 + 2 * 3 ^ 2', 19], ['(1 + 2) * 3', 9], ['10 - 2 - 3', 5], ['a mod 4', 3], ['8 / b / 2', 2],
    ['a > b and not (a = b) ? 1 : 2', 1], ['a <= b or b >= 2', 1], ['a != 7 ? 1 : a = 6 ? 2 : 3', 3],
    ['format = f32 | bf16', 1], ['format != bf16', 0], ['a = 1 | 7', 1], ['yes', 1], ['yes + 1', 2],
    ['lines + lines(65)', 7], ['max(a, b, 9)', 9], ['area + 1', 15],
    ['sum(rows, n)', 6], ['sum(rows, a)', 114], ['sum(rows, area)', 228],
  ])('%s is %d', (formula, value) => {
    expect(of(formula)).toBe(value);
  });

  it('are refused where they make no sense', () => {
    expect(() => of('1 +')).toThrow('`1 +` stops making sense at `its end`');
    expect(() => of('(1 + 2')).toThrow(SyntaxError);
    expect(() => of('1 2')).toThrow('stops making sense at `2`');
    expect(() => of('a * c')).toThrow('there is no `c`');
    expect(() => of('a(1)')).toThrow('there is no `a()`');
    expect(() => of('format + 1')).toThrow(TypeError);
  });
});
