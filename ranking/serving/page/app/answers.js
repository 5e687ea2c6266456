// What a component shows of a request: nothing yet, an answer, or why there is none.
import { useCallback, useEffect, useRef, useState } from "./html.js";

/**
 * Asks whenever a value of `inputs` changes, and cancels what was asked before.
 *
 * `ask(signal)` gives a promise. While another answer is under way, the last one stays in `value` and `isLoading` is
 * true. `error` is an `ApiError`; what may succeed later is tried again after the time that the server names.
 */
export function useAnswer(ask, inputs) {
  const [state, setState] = useState({ value: null, error: null, isLoading: true });
  const [tries, setTries] = useState(0);
  const latest = useRef(ask);
  latest.current = ask;
  const reload = useCallback(() => setTries((count) => count + 1), []);
  useEffect(() => {
    const controller = new AbortController();
    let timer = null;
    setState((before) => ({ ...before, isLoading: true }));
    Promise.resolve(latest.current(controller.signal)).then(
      (value) => {
        if (!controller.signal.aborted) setState({ value, error: null, isLoading: false });
      },
      (error) => {
        if (controller.signal.aborted) return;
        setState({ value: null, error, isLoading: false });
        if (error.status === 503 || error.status === 0) timer = setTimeout(reload, (error.retryAfterS ?? 5) * 1000);
        if (error.code === undefined) throw error; // a defect of the page belongs on the console
      },
    );
    return () => {
      controller.abort();
      clearTimeout(timer);
    };
  }, [...inputs, tries]);
  return { ...state, reload };
}

/**
 * A question that is asked when the reader acts: `ask(send, take)`, where `send(signal)` gives a promise and
 * `take(answer)` is called with the answer. What was asked before is cancelled, as it is by `stop()`. `value`, `error`
 * and `isLoading` are as of `useAnswer`.
 */
export function useRequest() {
  const [state, setState] = useState({ value: null, error: null, isLoading: false });
  const controller = useRef(null);
  useEffect(() => () => controller.current?.abort(), []);
  const stop = () => {
    controller.current?.abort();
    setState((before) => ({ ...before, error: null, isLoading: false }));
  };
  const ask = async (send, take = null) => {
    controller.current?.abort();
    const own = new AbortController();
    controller.current = own;
    setState((before) => ({ ...before, error: null, isLoading: true }));
    try {
      const value = await send(own.signal);
      if (own.signal.aborted) return;
      setState({ value, error: null, isLoading: false });
      take?.(value);
    } catch (error) {
      if (own.signal.aborted) return;
      setState({ value: null, error, isLoading: false });
      if (error.code === undefined) throw error; // a defect of the page belongs on the console
    }
  };
  return { ...state, ask, stop };
}
