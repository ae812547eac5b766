import { type Code, catalogue } from './catalogue.ts';

/** Where in the user's own material a thing comes from. */
export type Origin =
  | { readonly kind: 'onnx'; readonly node: string; readonly op: string }
  | { readonly kind: 'config'; readonly path: string }
  | { readonly kind: 'tensor'; readonly name: string }
  | { readonly kind: 'file'; readonly path: string; readonly offset?: number }
  | { readonly kind: 'text'; readonly file: string; readonly line: number; readonly column: number }
  | { readonly kind: 'derived'; readonly by: string; readonly from: readonly Origin[] }
  | { readonly kind: 'none' };

export type Note = { readonly text: string; readonly origin?: Origin };

/**
 * One thing the user should know. `message` stands alone: lower case, no full stop, the user's names in backticks, with
 * the rule and the actual value; `help` says what would make it fit. The severity belongs to the code.
 */
export type Diagnostic = {
  readonly code: Code;
  readonly message: string;
  readonly origin: Origin;
  readonly notes?: readonly Note[];
  readonly help?: string;
};

/** Collects what a run finds, so that all problems are told at once. */
export class Diagnostics {
  readonly #all: Diagnostic[] = [];

  report(diagnostic: Diagnostic): void {
    this.#all.push(diagnostic);
  }

  get all(): readonly Diagnostic[] {
    return this.#all;
  }

  get hasErrors(): boolean {
    return this.#all.some((diagnostic) => catalogue[diagnostic.code].severity === 'error');
  }
}

/** Every named origin below a derived one, in order, without repeats. */
export function sourcesOf(origin: Origin): readonly Exclude<Origin, { kind: 'derived' } | { kind: 'none' }>[] {
  const found = new Map<string, Exclude<Origin, { kind: 'derived' } | { kind: 'none' }>>();
  const walk = (at: Origin): void => {
    if (at.kind === 'derived') at.from.forEach(walk);
    else if (at.kind !== 'none') found.set(JSON.stringify(at), at);
  };
  walk(origin);
  return [...found.values()];
}
