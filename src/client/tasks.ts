import type { z } from 'zod';
import { type CreateTask, type PatchTask, page, Task, TaskProfile } from '../api/wire.ts';
import { below, type Http, type Page, type Query, withQuery } from './http.ts';

export interface TaskCalls {
  /** `key` makes repeating the call harmless: the same key is the same task. */
  createTask(body: CreateTask, key?: string): Promise<Task>;
  task(id: string): Promise<Task>;
  tasks(query?: Query): Promise<Page<Task>>;
  /** The agent that works on it, as it was when the task was accepted. */
  taskProfile(id: string): Promise<z.infer<typeof TaskProfile>>;
  cancelTask(id: string): Promise<Task>;
  pauseTask(id: string): Promise<Task>;
  resumeTask(id: string): Promise<Task>;
  raiseLimits(id: string, limits: z.infer<typeof PatchTask>['limits']): Promise<Task>;
}

export function taskCalls(http: Http): TaskCalls {
  return {
    createTask: (body, key) => http.create('/v1/tasks', Task, { body, key }),
    task: (id) => http.get(below('tasks', id), Task),
    tasks: (query = {}) => http.get(withQuery('/v1/tasks', query), page(Task)),
    taskProfile: (id) => http.get(below('tasks', id, '/profile'), TaskProfile),
    cancelTask: (id) => http.change(`POST ${below('tasks', id, '/cancel')}`, Task),
    pauseTask: (id) => http.change(`POST ${below('tasks', id, '/pause')}`, Task),
    resumeTask: (id) => http.change(`POST ${below('tasks', id, '/resume')}`, Task),
    raiseLimits: (id, limits) => http.change(`PATCH ${below('tasks', id)}`, Task, { limits }),
  };
}
