import type { GraphModule } from '../ir/graph/module.ts';
import { rewrite } from './rewrite.ts';

/** A custom layer is what its definition lowers it to. */
export const lowerCustom = (module: GraphModule): GraphModule =>
  rewrite(module, 'lower-custom', {
    custom: (op, near) => {
      const layer = module.customLayers.find((candidate) => candidate.name === op.attrs.layer);
      if (layer === undefined) throw new Error(`internal: custom layer \`${op.attrs.layer}\` has no definition`);
      return [layer.lower(near.build, op.operands.map(near.now), op.attrs.attrs)];
    },
  });
