/** What hands in tasks again and again. */
import type { z } from 'zod';
import { page, Task } from '../api/wire.ts';
import { Removed } from '../api/wire-admin.ts';
import { type CreateSchedule, type PatchSchedule, Schedule } from '../api/wire-schedules.ts';
import { below, type Http, type Page, type Query, withQuery } from './http.ts';

export interface ScheduleCalls {
  schedules(query?: Query): Promise<Page<Schedule>>;
  schedule(id: string): Promise<Schedule>;
  createSchedule(body: CreateSchedule, key?: string): Promise<Schedule>;
  changeSchedule(id: string, body: PatchSchedule): Promise<Schedule>;
  removeSchedule(id: string): Promise<z.infer<typeof Removed>>;
  /** Its task now, beside when it is due. */
  runSchedule(id: string, key?: string): Promise<Task>;
}

export function scheduleCalls(http: Http): ScheduleCalls {
  return {
    schedules: (query = {}) => http.get(withQuery('/v1/schedules', query), page(Schedule)),
    schedule: (id) => http.get(below('schedules', id), Schedule),
    createSchedule: (body, key) => http.create('/v1/schedules', Schedule, { body, key }),
    changeSchedule: (id, body) => http.change(`PATCH ${below('schedules', id)}`, Schedule, body),
    removeSchedule: (id) => http.delete(below('schedules', id), Removed),
    runSchedule: (id, key) => http.create(below('schedules', id, '/run'), Task, { body: undefined, key }),
  };
}
