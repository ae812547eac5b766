import { tuneEngine } from './engine.ts';
import { main } from './main.ts';

tuneEngine();

// Who reads the output has read enough: `sohuc disasm x.sohu | head`.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  process.exit();
});

process.exitCode = await main(process.argv.slice(2));
