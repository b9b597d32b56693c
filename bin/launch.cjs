// Loads what starts the executables: bundled if there is a bundle, else the module it is made of.
const { existsSync } = require('node:fs');
const { join } = require('node:path');

const BUNDLED = join(__dirname, '../dist/bundle/launch.cjs');

/** Calls `start` with the functions of dist/cli/launch.js. */
module.exports = async (program, start) => {
  let launcher;
  try {
    launcher = existsSync(BUNDLED) ? require(BUNDLED) : await import('../dist/cli/launch.js');
  } catch (error) {
    const missing = error.code === 'ERR_MODULE_NOT_FOUND';
    console.error(missing ? `${program}: not built yet: run "npm install" and "npm run build" first` : error);
    process.exit(1);
  }
  await start(launcher);
};
