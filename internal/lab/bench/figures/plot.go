package figures

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
)

// The plot's measures, in pixels.
const (
	plotWidth  = 860
	plotLabel  = 330 // left of the axis
	plotRight  = 30
	plotRow    = 34 // a row has a line for each contender
	plotTop    = 64
	plotBottom = 34
)

// colours of the contenders, told apart by people who see fewer colours too.
var colours = [2]string{"#0072b2", "#d55e00"}

// WritePlot draws the samples that name a panel, as SVG: a row for each measure,
// a dot for each value and a stroke for the median, over an axis of powers of ten.
// What is 0 or less stands at its left end.
func WritePlot(w io.Writer, samples []Sample) error {
	var panels []string
	for _, s := range samples {
		if s.Plot != "" && len(s.Values) > 0 && !slices.Contains(panels, s.Plot) {
			panels = append(panels, s.Plot)
		}
	}
	var body strings.Builder
	y := 0
	for _, p := range panels {
		var chosen []Sample
		for _, s := range samples {
			if s.Plot == p && len(s.Values) > 0 {
				chosen = append(chosen, s)
			}
		}
		y += drawPanel(&body, p, chosen, y)
	}
	_, err := fmt.Fprintf(w, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">
<rect width="100%%" height="100%%" fill="#fff"/>
%s</svg>
`, plotWidth, y, plotWidth, y, &body)
	return err
}

// drawPanel draws one panel from the height y on and returns how high it is.
func drawPanel(b *strings.Builder, title string, samples []Sample, y int) int {
	var rows []string
	low, high := math.Inf(1), math.Inf(-1)
	for _, s := range samples {
		if !slices.Contains(rows, s.Name) {
			rows = append(rows, s.Name)
		}
		for _, v := range s.Values {
			if v > 0 {
				low, high = min(low, v), max(high, v)
			}
		}
	}
	a := newAxis(low, high)
	bottom := y + plotTop + plotRow*len(rows)
	fmt.Fprintf(b, "<text x=\"16\" y=\"%d\" font-size=\"15\" font-weight=\"bold\">%s</text>\n", y+28, escape(title))
	for i, c := range Contenders {
		x := plotWidth - plotRight - 190 + 95*i
		fmt.Fprintf(b, "<circle cx=\"%d\" cy=\"%d\" r=\"4\" fill=\"%s\"/><text x=\"%d\" y=\"%d\">%s</text>\n", x, y+24, colours[i], x+9, y+28, c)
	}
	for d := a.from; d <= a.to; d++ {
		x := a.x(math.Pow(10, float64(d)))
		fmt.Fprintf(b, "<path d=\"M%.1f %dV%d\" stroke=\"#ddd\"/><text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\" fill=\"#555\">%g</text>\n",
			x, y+plotTop-12, bottom, x, bottom+16, math.Pow(10, float64(d)))
	}
	fmt.Fprintf(b, "<path d=\"M%d %dV%d\" stroke=\"#999\"/><text x=\"%d\" y=\"%d\" text-anchor=\"middle\" fill=\"#555\">0</text>\n",
		plotLabel, y+plotTop-12, bottom, plotLabel, bottom+16)
	for i, row := range rows {
		middle := y + plotTop + plotRow*i + plotRow/2 - 6
		fmt.Fprintf(b, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">%s</text>\n", plotLabel-14, middle+4, escape(label(row)))
		for _, s := range samples {
			n := slices.Index(Contenders[:], s.Contender)
			if s.Name != row || n < 0 {
				continue
			}
			line := middle - 6 + 12*n
			for _, v := range s.Values {
				fmt.Fprintf(b, "<circle cx=\"%.1f\" cy=\"%d\" r=\"3\" fill=\"%s\" fill-opacity=\"0.45\"/>\n", a.x(v), line, colours[n])
			}
			fmt.Fprintf(b, "<path d=\"M%.1f %dv10\" stroke=\"%s\" stroke-width=\"2\"/>\n", a.x(Median(s.Values)), line-5, colours[n])
		}
	}
	return plotTop + plotRow*len(rows) + plotBottom
}

// label is what a measure is of, without what of it is measured: the panel says
// that.
func label(measure string) string {
	if i := strings.LastIndex(measure, ": "); i > 0 {
		return measure[:i]
	}
	return measure
}

// An axis goes over whole powers of ten.
type axis struct{ from, to int }

// newAxis covers positive values between low and high; without any it covers one
// power of ten.
func newAxis(low, high float64) axis {
	if math.IsInf(low, 0) {
		return axis{0, 1}
	}
	a := axis{int(math.Floor(math.Log10(low))), int(math.Ceil(math.Log10(high)))}
	a.to = max(a.to, a.from+1)
	return a
}

// x is where a value stands.
func (a axis) x(v float64) float64 {
	const zero, room = 24, plotWidth - plotLabel - plotRight - 24
	if !(v > 0) {
		return plotLabel
	}
	share := (math.Log10(v) - float64(a.from)) / float64(a.to-a.from)
	return plotLabel + zero + room*min(max(share, 0), 1)
}

// escape makes a text harmless in XML.
func escape(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(s)
}
