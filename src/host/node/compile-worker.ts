/** Entry of the thread that compiles regions in the background. */
import { workerData } from 'node:worker_threads';
import { type CompilerStart, runCompiler } from '../../accel/tcg/compile-channel.ts';

runCompiler(workerData as CompilerStart);
