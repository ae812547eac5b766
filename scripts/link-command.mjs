/** Makes `npx sohuc` run this clone's build: npm links the commands of a package's dependencies, not the package's own. */
import { chmodSync, mkdirSync, rmSync, symlinkSync } from 'node:fs';

const link = new URL('../node_modules/.bin/sohuc', import.meta.url);
chmodSync(new URL('../dist/sohuc.js', import.meta.url), 0o755);
mkdirSync(new URL('.', link), { recursive: true });
rmSync(link, { force: true });
symlinkSync('../../dist/sohuc.js', link);
