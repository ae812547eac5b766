import { describe, expect, test } from 'vitest';
import { machines } from '../../isa-spec/machines/named.ts';
import { renderHtml } from '../../report/html.ts';
import { buildReport, checkReport } from '../../report/report.ts';
import { renderText } from '../../report/text.ts';
import { program, report, timing } from './sample.ts';

describe('the report', () => {
  test('is what its schema says, after JSON too', () => {
    expect(checkReport(report())).toEqual([]);
    expect(checkReport(JSON.parse(JSON.stringify(report())))).toEqual([]);
  });
  test('the schema refuses what is missing, of another kind, or unknown', () => {
    const { model: _model, ...rest } = report();
    expect(checkReport({ ...rest, schema: 'sohuc-report/2', extra: 1 })).toEqual([
      '`schema` must be one of sohuc-report/1, is "sohuc-report/2"', '`model` must be an object, is missing', '`extra` is not known here',
    ]);
    expect(checkReport(null)).toHaveLength(1);
    expect(checkReport({ ...report(), timing: { ...report().timing, stepSeconds: Number.NaN } })[0]).toContain('timing.stepSeconds');
  });
  test('says what the program and its step say', () => {
    const made = report();
    expect(made.program).toMatchObject({ bytes: 4321, instructions: 17 });
    expect(made.recognition.hardwareOpsPerLayer).toBe(2);
    // A K and a V row of a line of 8 bytes in each of two layers.
    expect(made.memory.kvBytesPerToken).toBe(2 * 2 * 8);
    expect(made.timing.hbm.find(({ region }) => region === 'weights')!.bytes).toBe(2 * 16 * 64);
    // Nine rows of a prompt and one going on: nine tokens in, two out, in each step.
    const { stepSeconds, inputTokensPerSecond, outputTokensPerSecond, totalTokensPerSecond } = made.timing;
    expect(inputTokensPerSecond).toBeCloseTo(9 / stepSeconds, 3);
    expect(outputTokensPerSecond).toBeCloseTo(2 / stepSeconds, 3);
    expect(totalTokensPerSecond).toBe(inputTokensPerSecond + outputTokensPerSecond);
    // 10 rows, k of two tiles the last of which is whole, 8 + 5 columns, twice; 4 x 8 a pair of a row and key it sees, 2 heads, twice.
    const pairs = (9 * 10) / 2 + 40;
    expect(made.timing.usefulFlops).toBe(2 * 10 * 16 * 13 * 2 + 4 * 8 * pairs * 2 * 2);
  });
  test('parts add up', () => {
    const { timing: made } = report();
    expect(made.usefulFlops + made.losses.reduce((sum, { flops }) => sum + flops, 0)).toBe(made.capacityFlops);
    expect(made.matrixUtilisation + made.losses.reduce((sum, { fraction }) => sum + fraction, 0)).toBeCloseTo(1, 12);
    for (const queue of made.queues) expect(queue.busy + queue.stalls.reduce((sum, { fraction }) => sum + fraction, 0)).toBeCloseTo(1, 12);
    const busy = timing().perChip[0]!.queues.reduce((sum, queue) => sum + queue.busy, 0);
    expect(made.labels.reduce((sum, { seconds }) => sum + seconds, 0)).toBeCloseTo(busy / 1e9, 12);
    for (const engine of made.engines) expect(engine.boundSeconds).toBeLessThanOrEqual(made.stepSeconds);
  });
  test('names every number of the machine it rests on that is not published', () => {
    const names = report().assumptions.map(({ name }) => name);
    expect(names).toContain('clockHz');
    expect(names).toContain('hbm.efficiency.0.fraction');
    // The program has no collective.
    expect(names).not.toContain('link.bytesPerSecond');
    const sohu = machines.get('sohu')!;
    const onSohu = buildReport({ ...program, machine: sohu }, 1, timing(), { isl: 1, osl: 1, batch: 1 }).assumptions.map(({ name }) => name);
    expect(onSohu).not.toContain('hbm.bytesPerSecond');
  });
  test('a program without the compiler\'s facts is refused', () => {
    expect(() => buildReport({ ...program, meta: {} }, 1, timing(), { isl: 1, osl: 1, batch: 1 })).toThrow(TypeError);
  });
});

const facts = { stages: [{ name: 'import', detail: '12 nodes' }, { name: 'emit', detail: '' }], files: [{ path: 'two-layers.sohu', bytes: 4321 }] };

describe('on one screen', () => {
  test('80 columns, 45 lines', () => {
    const lines = renderText(report(), facts).split('\n');
    expect(lines.length).toBeLessThanOrEqual(46);
    for (const line of lines) expect(line.length).toBeLessThanOrEqual(80);
  });
  test('reads like this', async () => {
    await expect(renderText(report(), facts)).toMatchFileSnapshot('expected.txt');
  });
  test('paints only if asked', () => {
    expect(renderText(report(), facts)).not.toContain('\u001b');
    expect(renderText(report(), facts, (role, text) => `<${role}>${text}</>`)).toContain('<heading>');
  });
});

describe('as a page', () => {
  test('stands alone: small, no network, names escaped', () => {
    const html = renderHtml({ ...report(), model: { ...report().model, name: '<script>alert(1)</script>' } });
    expect(html.length).toBeLessThan(200_000);
    expect(html).not.toMatch(/<script|https?:\/\/(?!www\.w3\.org)|src=|@import|url\(/);
    expect(html).toContain('&lt;script&gt;');
  });
});
