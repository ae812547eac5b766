import { packWeights } from '../backend-sohu/pack.ts';
import { buildProgram, placedOn } from '../backend-sohu/program.ts';
import type { GraphModule } from '../ir/graph/module.ts';
import type { Step } from '../ir/step.ts';
import { WeightValues } from '../ir/weight-values.ts';
import { readContainer, writeContainer } from '../isa-spec/container.ts';
import { decodeBf16 } from '../isa-spec/numerics.ts';
import type { Machine } from '../isa-spec/machine.ts';
import { sohu, sohu8 } from '../isa-spec/machines/sohu.ts';
import { tiny, tiny2 } from '../isa-spec/machines/tiny.ts';
import type { Program } from '../isa-spec/program.ts';
import type { Precision } from '../passes/formats.ts';
import type { Fit } from '../passes/plan/apply.ts';
import type { Bounds } from '../passes/tile/lowering.ts';
import { createMachineState, imageSource, type MachineState, readHbm } from '../simulator/functional/machine-state.ts';
import type { ByteSource } from '../simulator/memory.ts';
import { fitted, normative, raggedStep, smallBounds, storeFor } from './passes/lower.ts';
import { small, tinyLlama } from './passes/tiny-llama.ts';

export const source = tinyLlama();
export const store = storeFor(source);

export const steps: readonly Step[] = [
  raggedStep([{ id: 0, rows: 7, past: 0 }, { id: 1, rows: 12, past: 0 }], small.vocabulary),
  raggedStep([{ id: 0, rows: 1, past: 7 }, { id: 2, rows: 5, past: 0 }, { id: 1, rows: 1, past: 12 }], small.vocabulary),
];

export type Variant = { readonly machine: Machine; readonly tp: number; readonly ep?: number; readonly stageShare: number; readonly bounds: Bounds; readonly parts?: number };

export type Built = { readonly program: Program; readonly images: readonly ByteSource[] };
const known: { readonly of: readonly [Variant, Precision, GraphModule]; readonly made: Built }[] = [];

/** The program as bytes and back, and its packed weights by chip: made once in a file. */
export function built(variant: Variant, precision: Precision, module = source): Built {
  const of = [variant, precision, module] as const;
  const same = known.find((one) => one.of.every((each, i) => each === of[i]));
  if (same !== undefined) return same.made;
  const made = build(...of);
  known.push({ of, made });
  return made;
}

function build({ machine, tp, ep, stageShare, bounds, parts }: Variant, precision: Precision, module: GraphModule): Built {
  return builtFrom(fitted(normative(module, machine, precision, tp, ep), machine, stageShare, tp, { ...bounds, parts }), machine, module);
}

/** The same of a module that was fitted. */
export function builtFrom(fit: Fit, machine: Machine, module = source): Built {
  const tp = fit.tile.chips;
  const placed = placedOn(fit.tile, machine);
  const program = buildProgram([placed], machine, 'step', {});
  const from = { graph: fit.graph, values: new WeightValues(module === source ? store : storeFor(module), tp), tile: fit.tile.tile, lineBytes: machine.sram.lineBytes.value };
  const images = Array.from({ length: tp }, (_, rank) => imageSource(Uint8Array.from(Buffer.concat([...packWeights(fit.tile, placed.layout, from, rank)]))));
  return { program: readContainer(writeContainer(program)), images };
}

/** That program on a fresh machine. `change` makes another of it first. */
export function machineFor(variant: Variant, precision: Precision, change: (program: Program) => Program = (program) => program, module = source): MachineState {
  const { program, images } = built(variant, precision, module);
  return createMachineState(change(program), images);
}

/** A result's rows, as the host reads them from a chip's memory. */
export function resultOf(state: MachineState, program: Program, rows: number, chip: number): Float64Array {
  const output = program.ioMap.outputs[0];
  if (output === undefined) throw new Error('no output');
  const line = program.machine.sram.lineBytes.value;
  const bytes = new DataView(readHbm(state, chip, output.base, output.offset * line, rows * output.pitch * line).buffer);
  return Float64Array.from({ length: rows * output.columns }, (_, i) => {
    const at = Math.floor(i / output.columns) * output.pitch * line;
    const column = i % output.columns;
    return output.format === 'f32' ? bytes.getFloat32(at + 4 * column, true) : decodeBf16(bytes.getUint16(at + 2 * column, true));
  });
}

/** Parts of 16 rows: one sequence of the first step is in both, of the second all are in the first. */
const twoParts: Bounds = { ...smallBounds, tokens: 32 };

/** Links that nothing waits for: whatever saves bytes is worth a hop. */
export const near = (machine: Machine): Machine => ({ ...machine, link: { ...machine.link, latencySeconds: { ...machine.link.latencySeconds, value: 1e-12 } } });

export const variants: Readonly<Record<string, Variant>> = {
  'the full-sized machine': { machine: sohu, tp: 1, stageShare: 0.25, bounds: smallBounds },
  'small stages of it': { machine: sohu, tp: 1, stageShare: 0.008, bounds: smallBounds },
  'a machine of 8x8 arrays and 8 KiB': { machine: tiny, tp: 1, stageShare: 0.25, bounds: smallBounds },
  'values in HBM': { machine: tiny, tp: 1, stageShare: 0.2, bounds: { ...smallBounds, tokens: 150 } },
  'two chips': { machine: sohu8, tp: 2, stageShare: 0.25, bounds: smallBounds },
  'four chips, two to a KV head': { machine: sohu8, tp: 4, stageShare: 0.25, bounds: smallBounds },
  'the rows in two parts': { machine: sohu, tp: 1, stageShare: 0.25, bounds: twoParts, parts: 2 },
  'two parts, values in HBM': { machine: tiny, tp: 1, stageShare: 0.2, bounds: twoParts, parts: 2 },
  'two parts on two small chips': { machine: tiny2, tp: 2, stageShare: 0.25, bounds: twoParts, parts: 2 },
  'three parts, the last of them empty': { machine: sohu, tp: 1, stageShare: 0.25, bounds: { ...smallBounds, tokens: 48 }, parts: 3 },
  'four parts, values in HBM': { machine: { ...tiny, sram: { ...tiny.sram, bytes: { ...tiny.sram.bytes, value: 10240 } } }, tp: 1, stageShare: 0.2, bounds: { ...smallBounds, tokens: 24 }, parts: 4 },
  'two chips that share rows': { machine: near(sohu8), tp: 2, stageShare: 0.25, bounds: smallBounds },
  'four chips that share rows in two parts': { machine: near(sohu8), tp: 4, stageShare: 0.25, bounds: twoParts, parts: 2 },
  'two small chips that share rows': { machine: near(tiny2), tp: 2, stageShare: 0.25, bounds: smallBounds },
  'two small chips': { machine: tiny2, tp: 2, stageShare: 0.25, bounds: smallBounds },
};

