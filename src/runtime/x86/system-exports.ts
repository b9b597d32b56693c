export { cpu_init, cpu_reset } from './reset';
