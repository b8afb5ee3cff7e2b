"use strict";
// The files that were dropped; a folder stands for the pictures in it.

const dropped = (() => {
  /** The files of a `DataTransfer`, in folders by their names. */
  async function files({ items }) {
    const found = [...items].filter(({ kind }) => kind === "file").map((item) => [item.webkitGetAsEntry(), item.getAsFile()]);
    return (await Promise.all(found.map(([entry, file]) => (entry?.isDirectory ? pictures(entry) : file)))).flat();
  }

  async function pictures(entry) {
    if (entry.isDirectory) {
      const inside = await entries(entry.createReader());
      return (await Promise.all(inside.map(pictures))).flat();
    }
    const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
    return file.type.startsWith("image/") ? [file] : [];
  }

  /** All of a folder's, which come some at a time. */
  async function entries(reader) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) return [];
    return [...some, ...(await entries(reader))].sort((one, other) => (one.name < other.name ? -1 : 1));
  }

  return { files };
})();
