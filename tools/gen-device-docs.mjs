// Writes docs/devices.md from the registry of pluggable devices. Run after the build.
import { writeFileSync } from 'node:fs';
import { deviceDocs } from '../dist/machine/device-docs.js';

writeFileSync(new URL('../docs/devices.md', import.meta.url), deviceDocs());
