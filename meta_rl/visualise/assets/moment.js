"use strict";
// Links to a moment: #run/split/task/stage@step, as in #maml-trpo_s0/test/12/1@300.

const Moment = {
  address(run, { part, task, stage, step }) {
    return `${window.location.href.split("#")[0]}#${encodeURIComponent(run)}/${part}/${task}/${stage}@${step}`;
  },

  // `runs`: [{tab, parts}]. Numbers of the run and of the row of its task, or null if there is no such moment.
  find(hash, runs) {
    const named = hash.match(/^#([^/]+)\/([a-z]+)\/(\d+)\/(\d+)(?:@(\d+))?$/);
    if (!named) return null;
    let tab;
    try { tab = decodeURIComponent(named[1]); } catch { return null; }
    const run = runs.findIndex((one) => one.tab === tab), part = named[2], [task, stage] = [Number(named[3]), Number(named[4])];
    const tasks = runs[run]?.parts?.[part] || [], row = tasks.findIndex(({ position }) => position === task);
    return tasks[row]?.stages[stage] ? { run, part, row, stage, step: named[5] === undefined ? null : Number(named[5]) } : null;
  },
};
