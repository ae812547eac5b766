import { CustomLayerError } from '../ir/graph/custom.ts';
import { allOps, type GraphModule } from '../ir/graph/module.ts';
import { printType } from '../ir/graph/print.ts';
import type { TensorType, ValueId } from '../ir/types.ts';
import { mustAgree } from './custom-agreement.ts';
import { rewrite } from './rewrite.ts';

/** A custom layer is what its definition lowers it to. Throws a CustomLayerError when that is not what it yields, or computes. */
export const lowerCustom = (module: GraphModule): GraphModule =>
  rewrite(module, 'lower-custom', {
    custom: (op, near) => {
      const layer = module.customLayers.find((candidate) => candidate.name === op.attrs.layer);
      if (layer === undefined) throw new Error(`internal: custom layer \`${op.attrs.layer}\` has no definition`);
      const result = layer.lower(near.build, op.operands.map(near.now), op.attrs.attrs);
      const [made, wanted] = [near.build.types[result], near.type(op.results[0] as ValueId)];
      if (made === undefined || printType(made) !== printType(wanted)) throw new CustomLayerError(layer.name, 'lower', `returns ${made === undefined ? 'no value of the builder' : `a ${printType(made)}`} where the layer yields a ${printType(wanted)}`);
      mustAgree(layer, op, op.operands.map(near.type));
      return [result];
    },
  });

/** The module, if its custom layers give rows the types these have; on tensors of more axes they may have known others. */
export function withCustomTypes(module: GraphModule): GraphModule {
  for (const op of allOps(module.body)) {
    const layer = op.kind === 'custom' ? module.customLayers.find((candidate) => candidate.name === op.attrs.layer) : undefined;
    if (op.kind !== 'custom' || layer === undefined) continue;
    const operands = op.operands.map((value) => module.types[value] as TensorType);
    const [given, wanted] = [printType(layer.infer(operands, op.attrs.attrs)), printType(module.types[op.results[0] as ValueId] as TensorType)];
    if (given !== wanted) throw new CustomLayerError(layer.name, 'infer', `yields ${given} of (${operands.map(printType).join(', ')}), where rows make ${wanted}`);
  }
  return module;
}
