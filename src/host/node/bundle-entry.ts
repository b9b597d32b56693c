/** Entry of every worker that runs from a bundle: the bundle's name is its only argument. */
import { loadBundle } from './bundle-loader.ts';

loadBundle(process.argv[2]!);
