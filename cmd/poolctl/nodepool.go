package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"poold/pool"
)

// nodepool lists the commands of nodepool's command line, under their names and
// with their arguments, for fingers and scripts that know them. They are not in
// the help, and do what the command that they stand for does.
func nodepool(e *env) []*cobra.Command {
	return []*cobra.Command{
		alias("image-list", "upload list", uploadList(e)),
		alias("dib-image-list", "image list", imageList(e)),
		alias("image-status", "image list", imageList(e)),
		alias("request-list", "request list", requestList(e)),
		alias("alien-image-list", "leak list", alienList(e)),
		alias("image-build", "image build", imageBuild(e)),
		alias("image-pause", "image pause", imagePause(e)),
		alias("image-unpause", "image unpause", imageUnpause(e)),
		alias("image-delete", "upload delete", oldImageDelete(e)),
		alias("dib-image-delete", "image delete", dibImageDelete(e)),
		alias("hold", "node hold", nodeHold(e)),
		alias("info", "upload list and node list", info(e)),
		alias("erase", "provider erase", oldErase(e)),
		alias("config-validate", "config check", configCheck(e)),
		alias("export-image-data", "state export", oldExport(e)),
		alias("import-image-data", "state import", oldImport(e)),
	}
}

// alias hides a command under another name.
func alias(name, of string, cmd *cobra.Command) *cobra.Command {
	_, args, _ := strings.Cut(cmd.Use, " ")
	cmd.Use, cmd.Short, cmd.Hidden = strings.TrimSpace(name+" "+args), "As poolctl "+of, true
	return cmd
}

// oldFlags are nodepool's flags of commands that are called alike here.
func oldFlags(e *env, list, remove *cobra.Command) error {
	detail := list.Flags().Bool("detail", false, "as -o wide")
	list.PreRun = func(*cobra.Command, []string) {
		if *detail && e.output == formatTable {
			e.output = formatWide
		}
	}
	remove.Flags().Bool("now", false, "a node is deleted at once in any case")
	return errors.Join(list.Flags().MarkHidden("detail"), remove.Flags().MarkHidden("now"))
}

// oldGlobals are nodepool's flags of the command line as a whole. There is no log
// here to be configured.
func oldGlobals(root *cobra.Command) error {
	fs := root.PersistentFlags()
	fs.StringP("logconfig", "l", "", "has no effect")
	fs.Bool("debug", false, "has no effect")
	return errors.Join(fs.MarkHidden("logconfig"), fs.MarkHidden("debug"))
}

// alienList takes the provider as an argument.
func alienList(e *env) *cobra.Command {
	cmd := leakList(e)
	cmd.Use, cmd.Args = "list [PROVIDER]", usage(cobra.MaximumNArgs(1))
	run := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 1 {
			if err := cmd.Flags().Set("provider", args[0]); err != nil {
				return err
			}
		}
		return run(cmd, nil)
	}
	return cmd
}

// oldImageDelete names an upload by flags. Uploads have no id of their own
// here: there is one of each build in each provider.
func oldImageDelete(e *env) *cobra.Command {
	var provider, image, build string
	remove := uploadCommand(e, "delete", "", pool.VerbDeleteUpload)
	cmd := &cobra.Command{
		Use: "delete --provider P --image I --build-id B", Args: exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if provider == "" || image == "" || build == "" {
				return fmt.Errorf("%w: which upload? Say --provider, --image and --build-id", errUsage)
			}
			return remove.RunE(cmd, []string{image + "/" + build + "/" + provider})
		},
	}
	fs := cmd.Flags()
	fs.StringVar(&provider, "provider", "", "where the upload is")
	fs.StringVar(&image, "image", "", "of which image")
	fs.StringVar(&build, "build-id", "", "of which build")
	fs.String("upload-id", "", "not needed")
	return cmd
}

// dibImageDelete names a build as nodepool does, IMAGE-BUILD.
func dibImageDelete(e *env) *cobra.Command {
	cmd := imageDelete(e)
	run := cmd.RunE
	cmd.Use, cmd.Args = "delete IMAGE-BUILD", exactly(1)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		name := args[0]
		if at := strings.LastIndexByte(name, '-'); at >= 0 && !strings.Contains(name, "/") {
			name = name[:at] + "/" + name[at+1:]
		}
		return run(cmd, []string{name})
	}
	return cmd
}

// info shows the uploads and the nodes of a provider.
func info(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "info PROVIDER", Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, list := range []*cobra.Command{uploadList(e), nodeList(e)} {
				list.SetContext(cmd.Context())
				list.SetOut(cmd.OutOrStdout())
				if err := list.Flags().Set("provider", args[0]); err != nil {
					return err
				}
				if err := list.RunE(list, nil); err != nil {
					return err
				}
			}
			return nil
		},
	}
}
