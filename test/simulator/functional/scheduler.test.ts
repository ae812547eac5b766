import { describe, expect, test } from 'vitest';
import { tiny2 } from '../../../isa-spec/machines/tiny.ts';
import { encodeStepBlock } from '../../../isa-spec/step-block.ts';
import { readHbm } from '../../../simulator/functional/machine-state.ts';
import { runStep } from '../../../simulator/functional/run.ts';
import { early, late, randomSchedule, roundRobin } from '../../../simulator/functional/schedule.ts';
import { all, at, type Code, emptyStep, faultOf, hbmAt, ins, programOf, runProgram, stateOf, sync, token } from './harness.ts';

const loop = (level: number, count: number, body: number) => ins('loop', { level, count, body });
const event = (tag: number, waits = [token(1)].slice(1), posts = [token(1)].slice(1)) => ins('event', { tag }, waits, posts);
const schedules = { roundRobin, early, late, random1: randomSchedule(1), random2: randomSchedule(2) };

describe('loops', () => {
  test('nested loops ending together count up and are 0 again after', () => {
    const seen: string[] = [];
    const code: Code = { ctl: [loop(0, 2, 3), event(7), loop(2, 3, 1), event(8), event(9)] };
    const { result } = runProgram([code], {}, {}, roundRobin, (_chip, queue) => seen.push(`${queue.pc}:${queue.I.join('')}`));
    expect(result.events[0]).toEqual([7, 8, 8, 8, 7, 8, 8, 8, 9]);
    expect(seen.filter((at) => !/^[02]/.test(at))).toEqual(['1:0000', '3:0000', '3:0010', '3:0020', '1:1000', '3:1000', '3:1010', '3:1020', '4:0000']);
    expect(result.instructions).toBe(12);
  });

  test('a body that does not nest is a fault with its place', () => {
    expect(faultOf(() => runProgram([{ ctl: [loop(0, 2, 2), loop(1, 2, 2), event(1), event(2)] }]))).toMatchObject({ kind: 'control', place: { queue: 'ctl', pc: 1, op: 'loop' } });
    expect(faultOf(() => runProgram([{ ctl: [loop(0, 2, 2), loop(0, 2, 1), event(1)] }])).kind).toBe('control');
    expect(faultOf(() => runProgram([{ ctl: [loop(0, 2, 2), event(1)] }])).kind).toBe('control');
  });
});

describe('semaphores', () => {
  const pingPong = (rounds: number): Code => ({
    ctl: [loop(0, rounds, 2), sync([], [token(1, 2)]), event(1, [token(2)])],
    vec: [loop(0, rounds, 1), sync([token(1, 2)], [token(2)])],
  });

  for (const [name, schedule] of Object.entries(schedules)) {
    test(`two queues in turn, ${name}`, () => {
      expect(runProgram([pingPong(50)], {}, {}, schedule).result.events[0]).toHaveLength(50);
    });
  }

  test('both waits are taken at once', () => {
    const code: Code = { ctl: [sync([], [token(1)]), sync([token(3)], [token(2)])], vec: [sync([token(1), token(2)], [])], col: [sync([token(1)], [token(3)])] };
    expect(runProgram([{ ...code, ctl: [sync([], [token(1)]), sync([token(3)], [token(1), token(2)])] }], {}, {}, late).result.instructions).toBe(4);
  });

  test('a sync takes six semaphores and gives six', () => {
    const many = {
      wait2: 3, wait3: 4, wait4: 5, wait5: 6, waitCount2: 1, waitCount3: 1, waitCount4: 1, waitCount5: 1,
      post2: 3, post3: 4, post4: 5, post5: 6, postCount2: 1, postCount3: 1, postCount4: 1, postCount5: 1,
    };
    const giving = { ...many, wait2: 0, wait3: 0, wait4: 0, wait5: 0, waitCount2: 0, waitCount3: 0, waitCount4: 0, waitCount5: 0 };
    const taking = { ...many, post2: 0, post3: 0, post4: 0, post5: 0, postCount2: 0, postCount3: 0, postCount4: 0, postCount5: 0 };
    const code: Code = { ctl: [ins('sync', giving, [], [token(1), token(2)])], vec: [ins('sync', taking, [token(1), token(2)], [])] };
    expect(runProgram([code]).result.instructions).toBe(2);
  });

  test('a count above 15 is a fault', () => {
    const fault = faultOf(() => runProgram([{ ctl: [loop(0, 16, 1), sync([], [token(9)])] }]));
    expect(fault).toMatchObject({ kind: 'semaphore', place: { pc: 1, I: [15, 0, 0, 0] } });
  });

  test('tokens left over are a fault', () => {
    expect(faultOf(() => runProgram([{ ctl: [sync([], [token(9)])] }]))).toMatchObject({ kind: 'unbalanced', message: 'unbalanced: chip 0 has ended its step and semaphore 9 holds 1' });
  });
});

test('a deadlock names what every queue waits for', () => {
  const fault = faultOf(() =>
    runProgram(
      [{ ctl: [loop(1, 3, 1), event(1, [token(5, 2)])], vec: [sync([token(6)], [token(5)])], mxu: [ins('mm', { format: 'e4m3', accumulate: 'no', split: 0, a: at(0), pitch: 1, acc: at(0), kTiles: 1, kLast: 8, nTiles: 1, rows: all(1) })] }],
      { semaphores: [{ entry: 0, id: 5, poster: 'vec', waiter: 'ctl', purpose: 'norms done' }] },
    ),
  );
  expect(fault.kind).toBe('deadlock');
  expect(fault.message).toBe(
    [
      'deadlock: 3 queues wait for ever',
      '  chip 0 ctl[1] event (I = 0, 0, 0, 0) waits for semaphore 5 (norms done) to hold 2, it holds 0',
      '  chip 0 mxu[0] mm (I = 0, 0, 0, 0) waits for weights in the weight FIFO',
      '  chip 0 vec[0] sync (I = 0, 0, 0, 0) waits for semaphore 6 to hold 1, it holds 0',
    ].join('\n'),
  );
});

describe('collectives', () => {
  const gather = (tag: number, rows: number) => ins('coll', { kind: 'allgather', src: at(0), srcPitch: 2, out: at(100), outPitch: 4, bytes: 16, tag, rows: all(rows) }, [token(1)], [token(2)]);
  const chip = (tag: number, rows = 3): Code => ({
    dma0: [ins('dld', { src: hbmAt('io', 0), srcPitch: 2, dst: at(0), dstPitch: 2, lines: 2, rows: all(3) }, [], [token(1)])],
    col: [gather(tag, rows)],
    dma1: [ins('dst', { src: at(100), srcPitch: 4, dst: hbmAt('io', 100), dstPitch: 4, lines: 4, rows: all(3) }, [token(2)])],
  });
  const run = (codes: readonly Code[], schedule = roundRobin) => {
    const state = stateOf(programOf(codes, { machine: tiny2 }));
    state.chips.forEach(({ hbm, rank }) => hbm.io!.write(0, Uint8Array.from({ length: 48 }, (_, i) => 100 * rank + i)));
    runStep(state, [encodeStepBlock(emptyStep)], schedule);
    return state;
  };

  for (const [name, schedule] of Object.entries(schedules)) {
    test(`all-gather puts the chips' rows side by side on both, ${name}`, () => {
      const state = run([chip(3), chip(3)], schedule);
      const row = (r: number) => [...Array(16).keys()].map((i) => 16 * r + i).concat([...Array(16).keys()].map((i) => 100 + 16 * r + i));
      for (const rank of [0, 1]) expect([...readHbm(state, rank, 'io', 800, 96)]).toEqual([row(0), row(1), row(2)].flat());
    });
  }

  test('chips that bring different collectives are at fault', () => {
    expect(faultOf(() => run([chip(3), chip(4)])).kind).toBe('collective');
    expect(faultOf(() => run([chip(3, 3), chip(3, 2)])).kind).toBe('collective');
  });

  test('a chip that never comes is named', () => {
    const fault = faultOf(() => run([chip(3), { dma0: chip(3).dma0!, dma1: chip(3).dma1! }]));
    expect(fault.blocked.map(({ chip: rank, queue, waitsFor }) => [rank, queue, waitsFor])).toContainEqual([0, 'col', 'chip 1 to come to collective 3']);
  });
});

describe('addresses', () => {
  test('outside SRAM, an HBM region or any region', () => {
    const dld = (src: ReturnType<typeof hbmAt>, line: number): Code => ({ dma0: [ins('dld', { src, srcPitch: 1, dst: at(line), dstPitch: 1, lines: 1, rows: all(4) })] });
    expect(faultOf(() => runProgram([dld(hbmAt('io', 0), 1021)]))).toMatchObject({ kind: 'bounds', place: { queue: 'dma0', pc: 0 } });
    expect(faultOf(() => runProgram([dld(hbmAt('io', 8189), 0)])).reason).toBe('HBM `io` bytes 65512 to 65544 of 65536');
    expect(faultOf(() => runProgram([dld(hbmAt('scratch', 0), 0)])).kind).toBe('bounds');
    expect(runProgram([dld(hbmAt('io', 8188), 1020)]).result.instructions).toBe(1);
  });
});
