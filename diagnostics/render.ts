import pc from 'picocolors';
import { catalogue } from './catalogue.ts';
import { type Diagnostic, type Origin, sourcesOf } from './diagnostic.ts';

/** Where something is, as a user would look for it. */
export function originText(origin: Origin): string {
  switch (origin.kind) {
    case 'onnx': return `node \`${origin.node}\` (${origin.op})`;
    case 'config': return `config.json: ${origin.path}`;
    case 'tensor': return `tensor \`${origin.name}\``;
    case 'file': return origin.offset === undefined ? origin.path : `${origin.path}, byte ${origin.offset}`;
    case 'text': return `${origin.file}:${origin.line}:${origin.column}`;
    case 'derived': {
      const [first, ...rest] = sourcesOf(origin);
      return first === undefined ? '' : `${originText(first)}${rest.length === 0 ? '' : ` and ${rest.length} more`}`;
    }
    case 'none': return '';
  }
}

/** Diagnostics for people, grouped by code, errors last so that they are what is seen. */
export function renderDiagnostics(diagnostics: readonly Diagnostic[], { colour }: { readonly colour: boolean }): string {
  const { red, yellow, bold, dim } = pc.createColors(colour);
  const rank = (one: Diagnostic): number => (catalogue[one.code].severity === 'error' ? 1 : 0);
  const ordered = diagnostics.toSorted((a, b) => rank(a) - rank(b) || (a.code < b.code ? -1 : a.code > b.code ? 1 : 0));
  const lines = ordered.flatMap((one) => {
    const { severity } = catalogue[one.code];
    const at = originText(one.origin);
    return [
      `${(severity === 'error' ? red : yellow)(`${severity}[${one.code}]`)}${bold(`: ${one.message}`)}`,
      ...(at === '' ? [] : [dim(`  at ${at}`)]),
      ...(one.notes ?? []).map((note) => `  note: ${note.text}${note.origin === undefined ? '' : ` (${originText(note.origin)})`}`),
      ...(one.help === undefined ? [] : [`  help: ${one.help}`]),
    ];
  });
  const errors = diagnostics.filter((one) => rank(one) === 1).length;
  const summary = errors === 0 ? [] : [`${errors} ${errors === 1 ? 'error' : 'errors'}; \`docs/errors/\` explains each code`];
  return `${[...lines, ...summary].join('\n')}\n`;
}
