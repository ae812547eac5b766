import { register } from 'node:module';
import { pathToFileURL } from 'node:url';
import { type CustomLayer, defineLayer } from '../ir/graph/custom.ts';
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
    const source = hooks(import.meta.resolve('sohuc'), import.meta.resolve('amaro'));
    register(`data:text/javascript,${encodeURIComponent(source)}`);
    registered = true;
  }
  let exported: Readonly<Record<string, unknown>>;
  try {
    exported = (await import(pathToFileURL(path).href)) as Readonly<Record<string, unknown>>;
  } catch (error) {
    throw new UsageError(`plug-in \`${path}\` cannot be loaded: ${reasonOf(error)}`);
  }
  const layers = Object.entries(exported).flatMap(([name, value]) => (isMeant(value) ? [layerOf(value, `\`${name}\` of plug-in \`${path}\``)] : []));
  if (layers.length === 0) throw new UsageError(`plug-in \`${path}\` exports no layer: export what \`defineLayer\` returns`);
  return layers;
}

/** TypeScript that is more than types stops the stripper with a message over several lines; the first says what. */
const reasonOf = (error: unknown): string => (error instanceof Error ? (error.message || error.name) : String(error)).trim();

const texts = ['name', 'docs'] as const;
const functions = ['match', 'infer', 'reference', 'lower'] as const;

/** An export with the parts of a layer is meant to be one. */
const isMeant = (value: unknown): value is Readonly<Record<string, unknown>> => typeof value === 'object' && value !== null && functions.some((part) => part in value);

function layerOf(value: Readonly<Record<string, unknown>>, who: string): CustomLayer {
  const wrong = [...texts.filter((part) => typeof value[part] !== 'string').map((part) => `a text \`${part}\``), ...functions.filter((part) => typeof value[part] !== 'function').map((part) => `a function \`${part}\``)];
  if (wrong.length > 0) throw new UsageError(`${who} is not a layer: it needs ${wrong.join(', ')}`);
  return defineLayer(value as CustomLayer);
}
