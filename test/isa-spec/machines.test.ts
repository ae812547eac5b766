import { describe, expect, it } from 'vitest';
import { parseMachine, printMachine } from '../../isa-spec/machine-json.ts';
import { machines } from '../../isa-spec/machines/named.ts';
import { sohu } from '../../isa-spec/machines/sohu.ts';
import { tiny } from '../../isa-spec/machines/tiny.ts';

describe('machines', () => {
  it.each([...machines])('%s reads back from its JSON form', (_, machine) => {
    expect(parseMachine(JSON.parse(printMachine(machine)))).toEqual({ machine });
  });

  it('sohu has the peak its source derives', () => {
    const { arrays, clockHz } = sohu;
    expect(arrays.count.value * arrays.size.value ** 2 * 2 * clockHz.value).toBeCloseTo(10.066e15, -12);
  });

  it('every problem of a machine file is told at once', () => {
    const { clockHz: _, ...rest } = tiny;
    const wrong = { ...rest, chips: 0, colour: 'red', arrays: { ...tiny.arrays, count: 4, size: { ...tiny.arrays.size, value: 1000 } } };
    expect(parseMachine(wrong)).toEqual({
      problems: [
        '`chips` must be an integer from 1 to 256, is 0',
        '`clockHz` must be an object, is missing',
        '`arrays.count` must be an object, is 4',
        '`arrays.size.value` must be an integer from 1 to 256, is 1000',
        '`colour` is not known here',
      ],
    });
  });

  it('numbers must fit together', () => {
    const { hbm, sram } = tiny;
    const wrong = { ...tiny, sram: { ...sram, lineBytes: { ...sram.lineBytes, value: 12 } }, hbm: { ...hbm, efficiency: hbm.efficiency.toReversed() } };
    const read = parseMachine(wrong);
    expect('problems' in read && read.problems).toEqual([
      '`sram.lineBytes.value` must be a power of two from 4 on, is 12',
      '`sram.bytes.value` must be whole lines of 12 bytes, is 8192',
      '`hbm.efficiency[1].runBytes` must be below the 64 before it, is 256',
      '`hbm.efficiency[1].fraction.value` must be at most the 0.3 of longer runs, is 0.6',
      '`hbm.efficiency[2].runBytes` must be below the 256 before it, is 1024',
      '`hbm.efficiency[2].fraction.value` must be at most the 0.6 of longer runs, is 0.85',
      '`hbm.efficiency[3].runBytes` must be below the 1024 before it, is 4096',
      '`hbm.efficiency[3].fraction.value` must be at most the 0.85 of longer runs, is 0.9',
    ]);
    expect(parseMachine(null)).toEqual({ problems: ['`.` must be an object, is null'] });
  });
});
