// Mouse, pen and touch on a plane: leaf, point, move, window, paint, measure.

const WINDOW_STEP = 1 / 300; // of the window's width, for each pixel

export function connectPointer(view, state, correction, measuring) {
  const { canvas } = view;
  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };

  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    if (event.ctrlKey) view.zoomAt(event.deltaY < 0 ? 1.15 : 1 / 1.15, ...place(event));
    else state.scroll(view.plane, event.deltaY < 0 ? 1 : -1);
  }, { passive: false });

  canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    state.active = view.plane.name;
    state.tell("panel");
    const drag = dragOf(event, view, state, correction, measuring);
    const start = place(event);
    drag.begin?.(...start);
    const move = (moved) => {
      for (const part of moved.getCoalescedEvents?.() ?? [moved]) drag.move?.(...place(part), start);
    };
    const end = (ended) => {
      canvas.removeEventListener("pointermove", move);
      canvas.removeEventListener("pointerup", end);
      canvas.removeEventListener("pointercancel", end);
      drag.end?.(...place(ended));
    };
    canvas.addEventListener("pointermove", move);
    canvas.addEventListener("pointerup", end);
    canvas.addEventListener("pointercancel", end);
  });
  canvas.addEventListener("pointermove", (event) => correction.hover(view, place(event)));
  canvas.addEventListener("pointerleave", () => correction.hover(null));
}

function dragOf(event, view, state, correction, measuring) {
  if (event.button === 1 || event.shiftKey) return panning(view);
  if (event.button === 2) return windowing(state);
  if (state.tool === "measure") return measuring.drag(view);
  if (state.tool === "brush" || state.tool === "eraser") return correction.drag(view);
  return pointing(view, state);
}

function panning(view) {
  const before = view.pan;
  return {
    move: (x, y, start) => {
      view.pan = [before[0] + x - start[0], before[1] + y - start[1]];
      view.draw();
    },
  };
}

function windowing(state) {
  const { low, high } = state.window;
  const width = high - low;
  return {
    move: (x, y, start) => {
      const wider = width * Math.exp((x - start[0]) * WINDOW_STEP * 2);
      const middle = (low + high) / 2 + (y - start[1]) * WINDOW_STEP * width;
      state.setWindow(middle - wider / 2, middle + wider / 2);
    },
  };
}

function pointing(view, state) {
  const go = (x, y) => {
    const [column, row] = view.toVoxel(x, y);
    const cursor = [...state.cursor];
    cursor[view.axes[0]] = view.plane.columns - 0.5 - column;
    cursor[view.axes[1]] = view.plane.rows - 0.5 - row;
    state.moveTo(cursor);
  };
  return { begin: go, move: go };
}
