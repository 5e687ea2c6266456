// Sentences for screen readers about what has changed without a word on the page moving.
import { store } from "../store.js";

export const announced = store("");

export const announce = (sentence) => announced.set(sentence);
