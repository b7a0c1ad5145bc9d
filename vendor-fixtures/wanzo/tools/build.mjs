// Compiles the packages, in the order of their dependencies, then the services, two compilers at a time.
import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const flags = process.argv.slice(2);
const packages = ['types', 'shared', 'customer-sync'].map((name) => join('packages', name));
const apps = readdirSync(join(root, 'apps'))
  .map((name) => join('apps', name))
  .filter((dir) => existsSync(join(root, dir, 'tsconfig.json')));

function compile(dir) {
  const cwd = join(root, dir);
  // Each member is compiled by the TypeScript it resolves itself, as its own `build` script would.
  const tsc = createRequire(join(cwd, 'package.json')).resolve('typescript/bin/tsc');
  if (flags.length === 0) rmSync(join(cwd, 'dist'), { recursive: true, force: true });
  return new Promise((resolve, reject) => {
    spawn(process.execPath, [tsc, '-p', 'tsconfig.json', ...flags], { cwd, stdio: 'inherit' }).on('exit', (code) =>
      code === 0 ? resolve() : reject(new Error(`${dir} does not compile`)),
    );
  });
}

for (const dir of packages) await compile(dir);
const queue = [...apps];
const worker = async () => {
  for (let dir = queue.shift(); dir; dir = queue.shift()) await compile(dir);
};
await Promise.all([worker(), worker()]);
console.log(`compiled ${packages.length} packages and ${apps.length} services`);
