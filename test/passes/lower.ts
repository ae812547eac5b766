import { tablesOf as tablesWithPages } from '../../driver/step-tables.ts';
import { Diagnostics } from '../../diagnostics/diagnostic.ts';
import type { GraphModule } from '../../ir/graph/module.ts';
import { randomStore } from '../../ir/random-store.ts';
import type { Step } from '../../ir/step.ts';
import type { TensorStore } from '../../ir/weights.ts';
import type { Machine } from '../../isa-spec/machine.ts';
import type { StepTables } from '../../isa-spec/step-block.ts';
import { assignFormats, type Precision } from '../../passes/formats.ts';
import { fuseActivation } from '../../passes/fuse/activation.ts';
import { fuseGated } from '../../passes/fuse/gated.ts';
import { fuseResidual } from '../../passes/fuse/residual.ts';
import { fuseSharedInput } from '../../passes/fuse/shared-input.ts';
import { group, ungroup } from '../../passes/group.ts';
import { apply, type Fit } from '../../passes/plan/apply.ts';
import { fit } from '../../passes/plan/fit.ts';
import { shard } from '../../passes/shard.ts';
import type { Bounds } from '../../passes/tile/lowering.ts';

export const smallBounds: Bounds = { tokens: 20, sequences: 3, samples: 3, memory: 0, poolPages: 9, pageRows: 16, pageListEntries: 9 };

/** A frontend's rows down to the normative graph. */
export function normative(module: GraphModule, machine: Machine, precision: Precision, tp = 1, ep = 1): GraphModule {
  const diagnostics = new Diagnostics();
  const fused = fuseResidual(fuseActivation(fuseGated(module)));
  const shared = fuseSharedInput(shard(fused, { tp, ep }, machine, diagnostics), machine.sram.lineBytes.value);
  if (diagnostics.hasErrors) throw new Error(diagnostics.all.map(({ message }) => message).join('\n'));
  return group(assignFormats(shared, precision, machine));
}

/** `parts` beside the bounds: those a step is worked on in, one if it is not said. */
export function fitted(module: GraphModule, machine: Machine, stageShare: number, chips = 1, { parts = 1, ...bounds }: Bounds & { readonly parts?: number | undefined } = smallBounds): Fit {
  const diagnostics = new Diagnostics();
  const target = { machine, bounds, chips, stageShare, parts };
  const plan = fit(ungroup(module), target, diagnostics);
  if (plan === undefined) throw new Error(diagnostics.all.map(({ message }) => message).join('\n'));
  return apply(ungroup(module), target, plan);
}

/** A step's tables when sequence i owns the i-th run of pages. */
export function tablesOf(step: Step, { pageRows, poolPages }: Bounds): StepTables {
  const each = Math.floor(poolPages / 3);
  return tablesWithPages(step, (id) => ({ own: Array.from({ length: each }, (_, i) => id * each + i), memory: [] }), pageRows);
}

/** The tensors a module of plain tensor weights names, made up. */
export const storeFor = (module: GraphModule): TensorStore =>
  randomStore(new Map(module.weights.flatMap((weight) => weight.instances.flatMap((instance) => (instance.kind === 'tensor' ? [[instance.name, { dtype: weight.dtype, shape: weight.shape }] as const] : [])))), 1);

/** A ragged step of given sequences, ids drawn from the vocabulary by a fixed rule. */
export function raggedStep(sequences: Step['sequences'], vocabulary: number): Step {
  const positions = sequences.flatMap(({ rows, past }) => Array.from({ length: rows }, (_, i) => past + i));
  const ids = positions.map((position, i) => (position * 7 + i * 13 + 3) % vocabulary);
  let end = 0;
  return { sequences, positions, ids, types: positions.map(() => 0), samples: sequences.map(({ rows }) => (end += rows) - 1) };
}
