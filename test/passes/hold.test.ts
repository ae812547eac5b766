import { expect, it } from 'vitest';
import { allTileOps } from '../../ir/tile/module.ts';
import type { Machine } from '../../isa-spec/machine.ts';
import { tiny } from '../../isa-spec/machines/tiny.ts';
import type { Fit } from '../../passes/plan/apply.ts';
import { holdable } from '../../passes/plan/hold.ts';
import { leadingOf } from '../../passes/plan/leading.ts';
import { source } from '../compiled.ts';
import { fitted, normative, smallBounds } from './lower.ts';

const withSram = (bytes: number): Machine => ({ ...tiny, sram: { ...tiny.sram, bytes: { ...tiny.sram.bytes, value: bytes } } });
const planned = (machine: Machine, parts: number): Fit => fitted(normative(source, machine, 'fp8'), machine, 0.25, 1, { ...smallBounds, tokens: 24, parts });

/** What the plan holds, and the bytes of it; and of all it could hold. */
function heldOn(machine: Machine): { readonly held: readonly string[]; readonly bytes: number; readonly all: readonly string[] } {
  const { homes, decisions } = planned(machine, 2).plan;
  const all = holdable(decisions, 2, machine);
  return { held: homes.held, bytes: all.filter(({ weight }) => homes.held.includes(weight)).reduce((sum, { bytes }) => sum + bytes, 0), all: all.map(({ weight }) => weight) };
}

it('holds all weights of a layer that all parts multiply, if there is room', () => {
  const { held, all } = heldOn(withSram(2 ** 20));
  expect(all).toHaveLength(4);
  expect(held.toSorted()).toEqual(all.toSorted());
  expect(planned(withSram(2 ** 20), 1).plan.homes.held).toEqual([]);
});

it('holds more where there is more room, and nothing where there is none', () => {
  const bytes = [4, 13, 14, 15, 16, 32].map((kilobytes) => heldOn(withSram(kilobytes * 2 ** 10)).bytes);
  expect(bytes).toEqual(bytes.toSorted((a, b) => a - b));
  expect(bytes[0]).toBe(0);
  expect(new Set(bytes).size).toBeGreaterThan(2);
});

it('brings what is held once, by the first part, and multiplies it in every part', () => {
  const { plan, tile } = planned(withSram(2 ** 20), 2);
  const ops = [...allTileOps(tile.body)].filter(({ label }) => label.startsWith('layer.') && label.includes('.linear'));
  const labels = (kind: string): ReadonlySet<string> => new Set(ops.filter((op) => op.kind === kind && (op.kind !== 'load' || tile.buffers[op.regions.from.buffer]?.packing?.kind === 'tiles')).map(({ label }) => label));
  expect(plan.homes.held).toHaveLength(4);
  expect([...labels('load')].filter((label) => label.endsWith('.part1'))).toEqual([]);
  expect([...labels('weights')].filter((label) => label.endsWith('.part1'))).toHaveLength(labels('load').size);
});

it('what is held, the first part has the more to attend to: no more than decode', () => {
  const step = [...Array.from({ length: 12 }, (_, id) => ({ id, rows: 1, past: 20 })), { id: 12, rows: 12, past: 0 }];
  const leading = (bytes: number, parts = 2): number => leadingOf(planned(withSram(bytes), parts).plan, normative(source, tiny, 'fp8'), step, tiny);
  expect([4, 14, 16, 32, 1024].map((kilobytes) => leading(kilobytes * 2 ** 10))).toEqual([0, 8, 10, 11, 11]);
  expect(leading(2 ** 20, 1)).toBe(0);
});
