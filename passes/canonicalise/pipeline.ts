import type { GraphModule } from '../../ir/graph/module.ts';

/** The small passes that bring a source graph to its canonical form, in order. */
export const canonicalisePasses: readonly { readonly name: string; readonly run: (module: GraphModule) => GraphModule }[] = [];
