import type { Code } from '../../diagnostics/catalogue.ts';
import type { Diagnostics } from '../../diagnostics/diagnostic.ts';

type Problem = { readonly code: Code; readonly op: string; readonly why: string; readonly help: string | undefined; readonly nodes: string[] };

/** What is wrong with single nodes, or doubtful, told together: one diagnostic for all nodes of an operator with the same problem. */
export class Problems {
  readonly #all = new Map<string, Problem>();

  add(code: Code, { op, node }: { readonly op: string; readonly node: string }, why: string, help?: string): void {
    const key = JSON.stringify([code, op, why]);
    const problem = this.#all.get(key) ?? { code, op, why, help, nodes: [] };
    problem.nodes.push(node);
    this.#all.set(key, problem);
  }

  /** Whether the model has to be refused. */
  get any(): boolean {
    return [...this.#all.values()].some(({ code }) => code.startsWith('E'));
  }

  report(diagnostics: Diagnostics): void {
    for (const { code, op, why, help, nodes } of this.#all.values()) {
      const named = nodes.slice(0, 3).map((node) => `\`${node}\``).join(', ');
      const more = nodes.length > 3 ? ` and ${nodes.length - 3} more` : '';
      const message = nodes.length === 1 ? `\`${op}\` node ${named}: ${why}` : `${nodes.length} \`${op}\` nodes (${named}${more}): ${why}`;
      diagnostics.report({ code, message, origin: { kind: 'onnx', node: nodes[0] ?? '', op }, ...(help === undefined ? {} : { help }) });
    }
  }
}
