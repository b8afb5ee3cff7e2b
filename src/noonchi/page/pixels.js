"use strict";
// From a picture's file to what the network sees, as noonchi.pixels does it: the same filter, in the same whole numbers.

const pixels = (() => {
  const UNIT = 2 ** 22; // Pillow's weights have so many steps
  const MOST_PIXELS = 64_000_000;
  const STARTS = [
    [0xff, 0xd8, 0xff], // JPEG
    [0x89, 0x50, 0x4e, 0x47], // PNG
    [0x47, 0x49, 0x46, 0x38], // GIF
    [0x42, 0x4d], // BMP
    [0x52, 0x49, 0x46, 0x46], // WebP
  ];

  /** A picture's frame: Uint8Array (height, width, channels) of `settings.size`. Throws an Error of one line. */
  async function read(blob, settings, invert) {
    const image = await decoded(blob);
    const levels = settings.channels === 1 ? grey(image) : colour(image);
    const frame = fitted({ height: image.height, width: image.width, channels: settings.channels, levels }, settings);
    return inverted(frame, invert, settings);
  }

  async function decoded(blob) {
    const start = new Uint8Array(await blob.slice(0, 4).arrayBuffer());
    if (!STARTS.some((known) => known.every((byte, at) => start[at] === byte)))
      throw new Error("not a JPEG, PNG, WebP, GIF or BMP picture");
    let bitmap;
    try {
      bitmap = await createImageBitmap(blob, { imageOrientation: "from-image", colorSpaceConversion: "none" });
    } catch {
      throw new Error("damaged, or of a kind that this browser does not read");
    }
    const { width, height } = bitmap;
    if (width * height > MOST_PIXELS) throw new Error(`${width} by ${height} pixels, more than are read`);
    const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
    context.fillStyle = "white"; // shows through transparent pixels
    context.fillRect(0, 0, width, height);
    context.drawImage(bitmap, 0, 0);
    bitmap.close();
    return context.getImageData(0, 0, width, height);
  }

  function colour({ data, width, height }) {
    const levels = new Uint8Array(width * height * 3);
    for (let from = 0, to = 0; to < levels.length; from += 4) {
      levels[to++] = data[from];
      levels[to++] = data[from + 1];
      levels[to++] = data[from + 2];
    }
    return levels;
  }

  /** ITU-R 601-2 luma in 16 binary places, as Pillow has it. */
  function grey({ data, width, height }) {
    const levels = new Uint8Array(width * height);
    for (let at = 0; at < levels.length; at++)
      levels[at] = (19595 * data[4 * at] + 38470 * data[4 * at + 1] + 7471 * data[4 * at + 2] + 0x8000) >> 16;
    return levels;
  }

  function fitted(picture, { size: [height, width], fit }) {
    if (picture.height === height && picture.width === width) return { ...picture, levels: picture.levels };
    const whole = [0, 0, picture.width, picture.height];
    if (fit === "pad") return padded(picture, whole, height, width);
    return resized(picture, fit === "crop" ? middle(whole, width / height) : whole, height, width);
  }

  function middle([left, top, right, bottom], aspect) {
    const beside = Math.max(0, (right - left - (bottom - top) * aspect) / 2);
    const above = Math.max(0, (bottom - top - (right - left) / aspect) / 2);
    return [left + beside, top + above, right - beside, bottom - above];
  }

  function padded(picture, whole, height, width) {
    const scale = Math.min(width / picture.width, height / picture.height);
    const wide = Math.max(1, roundHalfEven(picture.width * scale));
    const high = Math.max(1, roundHalfEven(picture.height * scale));
    const inner = resized(picture, whole, high, wide);
    const { channels } = picture;
    const levels = new Uint8Array(height * width * channels);
    const left = Math.floor((width - wide) / 2);
    const top = Math.floor((height - high) / 2);
    for (let row = 0; row < high; row++)
      levels.set(
        inner.levels.subarray(row * wide * channels, (row + 1) * wide * channels),
        ((top + row) * width + left) * channels,
      );
    return { height, width, channels, levels };
  }

  /** Python's `round`. */
  function roundHalfEven(value) {
    const floor = Math.floor(value);
    const over = value - floor;
    return over > 0.5 || (over === 0.5 && floor % 2 === 1) ? floor + 1 : floor;
  }

  function resized(picture, [left, top, right, bottom], height, width) {
    if (picture.height === height && picture.width === width && !left && !top && right === width && bottom === height)
      return picture;
    const across = (from) => resizedAcross(from, filter(left, right, from.width, width), width);
    const down = (from) => turned(resizedAcross(turned(from), filter(top, bottom, from.height, height), height));
    const heightFirst = picture.height - height > Math.max(2 * (picture.width - width), 0); // Pillow's choice
    return heightFirst ? across(down(picture)) : down(across(picture));
  }

  /** For each pixel after, where the pixels before begin that it is made of, and their weights. */
  function filter(begin, end, before, after) {
    const first = Math.fround(begin); // Pillow holds the ends in single precision
    const scale = Math.fround(Math.fround(end) - first) / after;
    const reach = Math.max(scale, 1);
    return Array.from({ length: after }, (_, at) => {
      const centre = first + (at + 0.5) * scale;
      const from = Math.max(0, Math.trunc(centre - reach + 0.5));
      const to = Math.min(before, Math.trunc(centre + reach + 0.5));
      const weights = [];
      for (let place = from; place < to; place++)
        weights.push(Math.max(0, 1 - Math.abs((place - centre + 0.5) * (1 / reach))));
      const sum = weights.reduce((one, other) => one + other, 0);
      return { from, weights: weights.map((weight) => Math.floor((weight / sum) * UNIT + 0.5)) };
    });
  }

  function resizedAcross({ height, width, channels, levels }, filters, after) {
    const found = new Uint8Array(height * after * channels);
    for (let row = 0, to = 0; row < height; row++)
      for (const { from, weights } of filters)
        for (let channel = 0; channel < channels; channel++) {
          let sum = UNIT / 2;
          let at = (row * width + from) * channels + channel;
          for (let number = 0; number < weights.length; number++, at += channels) sum += weights[number] * levels[at];
          found[to++] = sum / UNIT; // whole levels: what is beyond the point is cut off
        }
    return { height, width: after, channels, levels: found };
  }

  function turned({ height, width, channels, levels }) {
    const found = new Uint8Array(levels.length);
    for (let row = 0, from = 0; row < height; row++)
      for (let column = 0; column < width; column++)
        for (let channel = 0; channel < channels; channel++)
          found[(column * height + row) * channels + channel] = levels[from++];
    return { height: width, width: height, channels, levels: found };
  }

  function inverted({ height, width, channels, levels }, invert, settings) {
    const exchange = invert === "yes" || (invert === "auto" && isNearerInverted(levels, height, width, channels, settings));
    return exchange ? levels.map((level) => 255 - level) : levels;
  }

  function isNearerInverted(levels, height, width, channels, { border_level: trained }) {
    let sum = 0;
    let count = 0;
    for (let row = 0; row < height; row++)
      for (let column = 0; column < width; column++)
        if (row === 0 || column === 0 || row === height - 1 || column === width - 1)
          for (let channel = 0; channel < channels; channel++, count++)
            sum += levels[(row * width + column) * channels + channel];
    return Math.abs(255 - sum / count - trained) < Math.abs(sum / count - trained);
  }

  return { read };
})();
