import { type Call, growTo, instances, type Memory } from '../../wasm/host.ts';
import { integerPacks } from './integers.ts';
import { packs } from './pack.ts';
import { products } from './product.ts';
import { rowProducts } from './row.ts';
import { smallProducts } from './small.ts';
import { softmaxes } from './softmax.ts';
import { firstFree, putTables } from './tables.ts';

const definitions = [...products, ...packs, ...integerPacks, ...rowProducts, ...smallProducts, ...softmaxes] as const;

/** The kernels by name; addresses are bytes of the engine's memory. */
export type Functions = { readonly [F in (typeof definitions)[number]['name']]: Call };

const align = 64;

export type EngineViews = {
  readonly u8: Uint8Array; readonly u16: Uint16Array; readonly i16: Int16Array;
  readonly i32: Int32Array; readonly f32: Float32Array; readonly f64: Float64Array;
};

/** Kernels and the memory they work in. What is in the memory lasts until the next `reserve`. */
export class Engine {
  readonly functions: Functions;
  readonly #memory: Memory;
  #views: EngineViews;

  constructor(functions: Functions, memory: Memory) {
    this.functions = functions;
    this.#memory = memory;
    this.#views = viewsOver(memory.buffer);
    putTables(this.#views.u8);
  }

  /** The memory. Growing it detaches views taken before: take them after `reserve`. */
  get views(): EngineViews {
    return this.#views;
  }

  /** Addresses of areas of so many bytes each. */
  reserve<const K extends string>(sizes: Readonly<Record<K, number>>): Readonly<Record<K, number>> {
    let next = firstFree;
    const addresses = Object.fromEntries(
      Object.entries<number>(sizes).map(([name, bytes]) => {
        const at = next;
        next += Math.ceil(bytes / align) * align;
        return [name, at];
      }),
    ) as Record<K, number>;
    if (growTo(this.#memory, next)) this.#views = viewsOver(this.#memory.buffer);
    return addresses;
  }
}

const viewsOver = (buffer: ArrayBuffer): EngineViews => ({
  u8: new Uint8Array(buffer), u16: new Uint16Array(buffer), i16: new Int16Array(buffer), i32: new Int32Array(buffer), f32: new Float32Array(buffer), f64: new Float64Array(buffer),
});

let made: Engine | undefined;

/** The engine of this process, made when first asked for; undefined where WebAssembly SIMD is missing. */
export const simdEngine = (): Engine | undefined => {
  if (made !== undefined) return made;
  const instance = instances(() => definitions)();
  return (made = instance && new Engine(instance.functions, instance.memory));
};
