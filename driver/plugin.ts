import { register } from 'node:module';
import { pathToFileURL } from 'node:url';
import type { CustomLayer } from '../ir/graph/custom.ts';
import { UsageError } from './session.ts';

/**
 * Loader hooks for plug-ins: TypeScript files have their types stripped (Node 20 does not do that), and `sohuc` means this
 * very installation, wherever the plug-in lies.
 */
const hooks = (api: string, amaro: string): string => `
  import { readFile } from 'node:fs/promises';
  import amaro from ${JSON.stringify(amaro)};
  export const resolve = (specifier, context, next) => (specifier === 'sohuc' ? { url: ${JSON.stringify(api)}, format: 'module', shortCircuit: true } : next(specifier, context));
  export const load = async (url, context, next) => {
    if (!url.startsWith('file:') || !new URL(url).pathname.endsWith('.ts')) return next(url, context);
    const { code } = amaro.transformSync(await readFile(new URL(url), 'utf8'), { mode: 'strip-only' });
    return { format: 'module', source: code, shortCircuit: true };
  };`;

let registered = false;

/** The custom layers a module exports. Throws UsageError when it cannot be loaded or exports none. */
export async function importPlugin(path: string): Promise<readonly CustomLayer[]> {
  if (!registered) {
    const source = hooks(import.meta.resolve('./api.js'), import.meta.resolve('amaro'));
    register(`data:text/javascript,${encodeURIComponent(source)}`);
    registered = true;
  }
  let exported: Readonly<Record<string, unknown>>;
  try {
    exported = (await import(pathToFileURL(path).href)) as Readonly<Record<string, unknown>>;
  } catch (error) {
    throw new UsageError(`plug-in \`${path}\` cannot be loaded: ${error instanceof Error ? error.message : String(error)}`);
  }
  const layers = Object.values(exported).filter(isLayer);
  if (layers.length === 0) throw new UsageError(`plug-in \`${path}\` exports no layer: export what \`defineLayer\` returns`);
  return layers;
}

const parts = ['name', 'docs', 'match', 'infer', 'reference', 'lower'] as const;

const isLayer = (value: unknown): value is CustomLayer => typeof value === 'object' && value !== null && parts.every((part) => part in value);
