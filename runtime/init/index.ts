/** The door of runtime/init. */

export { initProject, type NewProject } from './project.ts';
