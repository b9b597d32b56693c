// Writes docs/ir.md from the table of IR operations. Run after the build.
import { writeFileSync } from 'node:fs';
import { irDocs } from '../dist/ir/docs.js';

writeFileSync(new URL('../docs/ir.md', import.meta.url), irDocs());
