import { performance } from 'node:perf_hooks';
import { catalogue } from '../diagnostics/catalogue.ts';
import type { Diagnostics } from '../diagnostics/diagnostic.ts';
import { renderDiagnostics } from '../diagnostics/render.ts';

/** What a command says: results on stdout, everything else on stderr. The only writer besides the artefacts. */
export class Terminal {
  readonly #quiet: boolean;
  readonly #json: boolean;
  readonly #stages: { readonly name: string; readonly milliseconds: number }[] = [];
  #since = performance.now();

  constructor(options: { readonly quiet: boolean; readonly json: boolean }) {
    this.#quiet = options.quiet;
    this.#json = options.json;
  }

  /** A stage has ended: a line with its time, when someone watches. */
  stage(name: string, detail = ''): void {
    const now = performance.now();
    const milliseconds = now - this.#since;
    this.#since = now;
    this.#stages.push({ name, milliseconds });
    if (!this.#quiet && process.stderr.isTTY) process.stderr.write(`  ${name.padEnd(18)} ${milliseconds.toFixed(0).padStart(6)} ms  ${detail}\n`);
  }

  get stages(): readonly { readonly name: string; readonly milliseconds: number }[] {
    return this.#stages;
  }

  /** A result. With `--json` only values are printed, with `--quiet` nothing. */
  print(text: string): void {
    if (!this.#quiet && !this.#json) process.stdout.write(text.endsWith('\n') ? text : `${text}\n`);
  }

  /** A result that is a text, of which `--json` makes a value. */
  text(text: string): void {
    this.print(text);
    this.value({ text });
  }

  /** What the user should know of a result, on stderr. */
  note(text: string): void {
    if (!this.#quiet) process.stderr.write(`note: ${text}\n`);
  }

  value(value: unknown): void {
    if (this.#json) process.stdout.write(`${JSON.stringify(value, undefined, 2)}\n`);
  }

  /** Everything found, errors last. With `--json` on stdout, as data. Returns whether there were errors. */
  diagnostics(diagnostics: Diagnostics): boolean {
    const { all } = diagnostics;
    if (all.length === 0) return false;
    if (this.#json && diagnostics.hasErrors) this.value({ diagnostics: all.map((one) => ({ ...one, ...catalogue[one.code] })) });
    else if (!this.#quiet || diagnostics.hasErrors) process.stderr.write(renderDiagnostics(all, { colour: process.stderr.isTTY === true }));
    return diagnostics.hasErrors;
  }
}
