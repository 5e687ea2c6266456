// What clips are scored by. The colours are in style/base.css, by the same names.

export const ROUTINE = "routine"; // scores clips longer than 60 s alone
export const MODALITIES = ["skeletal", "holistic", "facial", "scenic", ROUTINE];
export const DIMENSIONS = ["fused", ...MODALITIES];
export const MEANING = {
  fused: "all modalities together",
  skeletal: "movement",
  holistic: "appearance",
  facial: "expression",
  scenic: "background",
  routine: "clips longer than 60 s",
};
export const WINDOWS = { "1h": "last hour", "24h": "last 24 hours", "7d": "last 7 days", all: "all time" };

/** "fused" → "Fused" */
export const title = (name) => name.charAt(0).toUpperCase() + name.slice(1);
export const colour = (dimension) => `var(--${dimension})`;
