/** @type {import("next").NextConfig} */
export default {
  // Other lock files above this folder do not make it a part of their project.
  turbopack: { root: import.meta.dirname },
}
