// Links to what a clip belongs to.
import { html } from "../html.js";
import { href } from "../router.js";
import { find } from "../routes.js";

/** A link where the address has a page, else the text alone. */
const Linked = ({ to, query, text }) => (find(to) === null ? html`<bdi>${text}</bdi>` : html`<a href=${href(to, query)}><bdi>${text}</bdi></a>`);

export const ClipLink = ({ id, query = {} }) => html`<${Linked} to=${["clips", id]} query=${query} text=${id} />`;
export const ChallengeLink = ({ id, query = {} }) => html`<${Linked} to=${["challenges", id]} query=${query} text=${id} />`;
/** Who dances like this dancer. */
export const DancerLink = ({ id, query = {} }) => html`<${Linked} to=${["similar"]} query=${{ ...query, dancer: id }} text=${id} />`;
