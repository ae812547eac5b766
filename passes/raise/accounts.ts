import { sourcesOf } from '../../diagnostics/diagnostic.ts';
import type { Disposition, SourceNode } from '../../ir/graph/module.ts';
import type { ValueId } from '../../ir/types.ts';
import type { Source } from './source.ts';

const strength: readonly Disposition[] = ['folded', 'host', 'hardware', 'refused'];

/**
 * What became of every source node. A node all of whose results are constant or unused is folded; one that prepares masks or
 * positions, or moves the elements of an input to their rows, is the host's; the others are part of row ops.
 */
export function accountFor(source: Source, reached: ReadonlySet<ValueId>, isElements: (value: ValueId) => boolean): readonly SourceNode[] {
  const found = new Map<string, Disposition>();
  for (const op of source.module.body.ops) {
    const of = op.results.map((value): Disposition => (!reached.has(value) ? 'folded' : isElements(value) ? 'host' : ({ constant: 'folded', prepared: 'host', active: 'hardware' } as const)[source.dependence(value)]));
    const strongest = of.reduce((a, b) => (strength.indexOf(b) > strength.indexOf(a) ? b : a), 'folded');
    for (const node of sourcesOf(op.origin)) {
      if (node.kind !== 'onnx') continue;
      const known = found.get(node.node) ?? 'folded';
      found.set(node.node, strength.indexOf(strongest) > strength.indexOf(known) ? strongest : known);
    }
  }
  return source.module.source.nodes.map((node) => ({ ...node, disposition: found.get(node.name) ?? node.disposition }));
}
